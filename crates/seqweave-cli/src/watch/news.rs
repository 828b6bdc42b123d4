//! What the log of a run says between its lines: whether it runs, and for how long yet.

use std::fmt;
use std::time::{Duration, SystemTime};

use seqweave_train::run_log::RunLog;
use seqweave_train::{Outcome, StepReport};

use crate::progress::{duration, outcome_words};

/// A run that says nothing for so long, and for so many of its usual pauses, has stopped.
const SILENCE: Duration = Duration::from_secs(60);
const PAUSES: f64 = 5.0;

/// How a run is doing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum State {
    /// Its log has no events yet.
    Waiting,
    /// It runs.
    Running,
    /// It has said nothing for a while: it was killed, or the log is an old copy.
    Silent(Duration),
    /// It has come to an end of its own, or was interrupted and can go on.
    Ended(Outcome),
    /// Its numbers left the range of numbers.
    Diverged,
}

impl State {
    /// The state of a run at a time.
    pub fn of(log: &RunLog, now: SystemTime) -> State {
        match (log.outcome, log.last) {
            (Some(Outcome::Diverged), _) => State::Diverged,
            (Some(outcome), _) => State::Ended(outcome),
            (None, None) => State::Waiting,
            (None, Some(last)) => {
                // A clock of another machine may be ahead of ours; then the event is new.
                let silence = now.duration_since(last).unwrap_or_default();
                let usual = pause(&log.steps).unwrap_or(0.0);
                let limit = SILENCE.max(Duration::try_from_secs_f64(PAUSES * usual).unwrap_or(SILENCE));
                if silence > limit { State::Silent(silence) } else { State::Running }
            }
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::Waiting => f.write_str("no events yet"),
            State::Running => f.write_str("running"),
            State::Silent(silence) => {
                let silence = duration(silence.as_secs_f64());
                write!(f, "no news for {silence}: killed, or this log is an old copy")
            }
            State::Ended(outcome) => f.write_str(outcome_words(*outcome)),
            State::Diverged => f.write_str("diverged"),
        }
    }
}

/// The last reports of one process, which counts its seconds from its own start.
fn recent(steps: &[StepReport]) -> &[StepReport] {
    let tail = &steps[steps.len().saturating_sub(20)..];
    let restart = tail.windows(2).rposition(|pair| pair[1].seconds < pair[0].seconds);
    &tail[restart.map_or(0, |before| before + 1)..]
}

/// Seconds between two reports.
fn pause(steps: &[StepReport]) -> Option<f64> {
    let recent = recent(steps);
    let (first, last) = (recent.first()?, recent.last()?);
    (recent.len() > 1).then(|| (last.seconds - first.seconds) / (recent.len() - 1) as f64)
}

/// Seconds until the last step, at the pace of the last reports, validations included; `None` if nobody can say.
pub(super) fn eta(steps: &[StepReport]) -> Option<f64> {
    let recent = recent(steps);
    let (first, last) = (recent.first()?, recent.last()?);
    let pace = (last.seconds - first.seconds) / (last.step - first.step).max(1) as f64;
    let is_known = last.total != u64::MAX && last.step > first.step && pace.is_finite();
    is_known.then(|| pace * last.total.saturating_sub(last.step) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(step: u64, seconds: f64) -> StepReport {
        StepReport { step, seconds, total: 100, ..StepReport::default() }
    }

    #[test]
    fn a_run_is_silent_after_several_of_its_usual_pauses() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut log = RunLog::default();
        assert_eq!(State::of(&log, start), State::Waiting);
        log.last = Some(start);
        assert_eq!(State::of(&log, at(59)), State::Running);
        assert_eq!(State::of(&log, at(61)), State::Silent(Duration::from_secs(61)));
        assert_eq!(State::of(&log, start - Duration::from_secs(9)), State::Running, "a clock that is ahead");
        // This one has something to say every hundred seconds.
        log.steps = vec![report(1, 100.0), report(2, 200.0)];
        assert_eq!(State::of(&log, at(400)), State::Running);
        assert_eq!(State::of(&log, at(501)), State::Silent(Duration::from_secs(501)));
        log.outcome = Some(Outcome::Interrupted);
        assert_eq!(State::of(&log, at(9000)), State::Ended(Outcome::Interrupted));
        log.outcome = Some(Outcome::Diverged);
        assert_eq!(State::of(&log, at(9000)), State::Diverged);
    }

    #[test]
    fn the_pace_is_that_of_the_process_that_runs() {
        assert_eq!(eta(&[]), None);
        assert_eq!(eta(&[report(10, 5.0)]), None);
        assert_eq!(eta(&[report(10, 5.0), report(20, 10.0)]), Some(40.0));
        // Before the restart it was slow.
        let steps = [report(10, 500.0), report(20, 1000.0), report(30, 2.0), report(40, 4.0)];
        assert_eq!(eta(&steps), Some(12.0));
        assert_eq!(eta(&[report(10, 1.0), StepReport { total: u64::MAX, ..report(20, 2.0) }]), None);
    }
}
