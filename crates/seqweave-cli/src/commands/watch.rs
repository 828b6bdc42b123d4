//! `watch`: follow the log of a run and draw it, until a key ends it.

use std::io::{self, IsTerminal, Write};
use std::time::SystemTime;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use seqweave_train::run_log::{Follower, RunLog};

use crate::exit::{Exit, Failure, Outcome};
use crate::resolve::Watch;
use crate::stop::Stop;
use crate::ui::Ui;
use crate::watch::View;

/// Columns of a picture that is printed.
const WIDTH: u16 = 80;

/// Draws until it is told to stop, or once.
///
/// # Errors
/// When there is no run folder, its log cannot be read, or the terminal refuses.
pub fn run(ui: &Ui, job: Watch) -> Outcome {
    let log = job.run.join("log.jsonl");
    if !job.run.is_dir() {
        return Err(Failure::new(Exit::Data, "there is no such run folder")
            .at(job.run.display())
            .help("name a run folder, as `seqweave train` writes it"));
    }
    let name = job.run.display().to_string();
    let live = io::stdout().is_terminal() && io::stdin().is_terminal();
    if job.once || !live {
        if !job.once {
            ui.note("stdout is no terminal, so this is one picture; --once asks for it");
        }
        let log = RunLog::read(&log).map_err(|e| unreadable(&log, e))?;
        let view = View { name: &name, log: &log, now: SystemTime::now(), colour: false, footer: "" };
        write!(io::stdout(), "{}", view.text(WIDTH))?;
        return Ok(Exit::Good);
    }
    let colour = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
    let stop = Stop::listen()?;
    let mut terminal = ratatui::try_init()?;
    let result = follow(&mut terminal, &job, &name, colour, &stop);
    // The screen of the shell comes back before anything is said.
    ratatui::try_restore()?;
    result
}

fn follow(terminal: &mut DefaultTerminal, job: &Watch, name: &str, colour: bool, stop: &Stop) -> Outcome {
    let path = job.run.join("log.jsonl");
    let (mut follower, mut log) = (Follower::new(&path), RunLog::default());
    while !stop.is_requested() {
        let mut footer = "q quits   r reads the log anew".to_owned();
        // A folder on another machine may be out of reach for a moment.
        if let Err(error) = log.follow(&mut follower) {
            footer = format!("{error}   q quits");
        }
        terminal.draw(|frame| {
            let view = View { name, log: &log, now: SystemTime::now(), colour, footer: &footer };
            frame.render_widget(&view, frame.area());
        })?;
        if event::poll(job.interval)?
            && let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event::read()?
        {
            match code {
                KeyCode::Char('q') | KeyCode::Esc => return Ok(Exit::Good),
                KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => return Ok(Exit::Good),
                KeyCode::Char('r') => (follower, log) = (Follower::new(&path), RunLog::default()),
                _ => {}
            }
        }
    }
    Ok(stop.exit())
}

fn unreadable(path: &std::path::Path, error: io::Error) -> Failure {
    Failure::new(Exit::Data, format!("cannot read the log of the run: {error}"))
        .at(path.display())
        .help("name a run folder, as `seqweave train` writes it")
}
