//! CUDA graphs of recorded commands: made by capture, kept by the sequence of their kernels, brought up to date.

use super::queue::{Command, Fault, GraphReport};
use cudarc::driver::result;
use cudarc::driver::sys;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Entries of the driver that are called here; a driver may lack them.
const SYMBOLS: [&str; 7] = [
    "cuStreamBeginCapture_v2",
    "cuStreamEndCapture",
    "cuGraphInstantiateWithFlags",
    "cuGraphExecUpdate_v2",
    "cuGraphLaunch",
    "cuGraphDestroy",
    "cuGraphExecDestroy",
];

/// Graphs that are kept at most: one for each shape of a batch that changes the sequence of kernels.
const KEPT: usize = 32;

/// The graphs of one stream, the one used last at the end.
pub(super) struct Graphs(Vec<(u64, Executable)>);

/// An executable graph; destroyed on drop, when the context must be current.
struct Executable(sys::CUgraphExec);

impl Drop for Executable {
    fn drop(&mut self) {
        // SAFETY: it was instantiated here and is destroyed once. What it launched goes on.
        let _ = unsafe { result::graph::exec_destroy(self.0) };
    }
}

/// A captured graph; destroyed on drop.
struct Captured(sys::CUgraph);

impl Drop for Captured {
    fn drop(&mut self) {
        // SAFETY: it was captured here and is destroyed once.
        let _ = unsafe { result::graph::destroy(self.0) };
    }
}

impl Graphs {
    /// None yet.
    ///
    /// # Errors
    /// What the driver lacks.
    pub(super) fn new() -> Result<Graphs, String> {
        for symbol in SYMBOLS {
            // SAFETY: a stream exists, so the library is present; the symbol is looked up, not called.
            if unsafe { sys::culib().get::<unsafe extern "C" fn()>(symbol.as_bytes()) }.is_err() {
                return Err(format!("the driver lacks {symbol}"));
            }
        }
        Ok(Graphs(Vec::new()))
    }

    /// Does all `commands`, in order, as one graph; on an error nothing was done.
    pub(super) fn run(
        &mut self,
        commands: &[Command],
        stream: sys::CUstream,
        report: &mut GraphReport,
    ) -> Result<(), String> {
        let captured = capture(commands, stream)?;
        let key = sequence(commands);
        let kept = self.0.iter().position(|(kept, _)| *kept == key).map(|at| self.0.remove(at).1);
        let executable = match kept {
            Some(executable) if update(&executable, &captured) => {
                report.updated += 1;
                executable
            }
            _ => {
                // SAFETY: the graph was captured just now.
                let made =
                    unsafe { result::graph::instantiate(captured.0, sys::CUgraphInstantiate_flags(0)) };
                report.made += 1;
                Executable(made.map_err(said("making a graph"))?)
            }
        };
        // SAFETY: graph and stream are of the current context.
        unsafe { result::graph::launch(executable.0, stream) }.map_err(said("launching a graph"))?;
        report.launched += 1;
        if self.0.len() == KEPT {
            self.0.remove(0);
        }
        self.0.push((key, executable));
        Ok(())
    }
}

/// The graph of `commands`. A capture is always ended, so that the stream can go on without graphs.
fn capture(commands: &[Command], stream: sys::CUstream) -> Result<Captured, String> {
    let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
    // SAFETY: the stream is of the current context; while it captures, this function alone uses it.
    unsafe { result::stream::begin_capture(stream, mode) }.map_err(said("beginning a capture"))?;
    // SAFETY: commands are vouched for by who made them; here they are noted down once more, by the driver.
    let issued = commands.iter().try_for_each(|command| unsafe {
        command.issue(stream).map_err(|error| said(command.what())(error))
    });
    // SAFETY: the capture was begun above.
    let captured = unsafe { result::stream::end_capture(stream) }.map(Captured);
    issued?;
    match captured.map_err(said("ending a capture"))? {
        graph if graph.0.is_null() => Err("ending a capture: no graph came".to_owned()),
        graph => Ok(graph),
    }
}

/// Whether `executable` could take the parameters of `captured`.
fn update(executable: &Executable, captured: &Captured) -> bool {
    let mut info = std::mem::MaybeUninit::<sys::CUgraphExecUpdateResultInfo>::zeroed();
    // SAFETY: both are valid, and the driver fills in `info`, which nobody reads.
    unsafe { sys::cuGraphExecUpdate_v2(executable.0, captured.0, info.as_mut_ptr()) }.result().is_ok()
}

/// A number for the sequence of kinds and kernels, which an update cannot change.
fn sequence(commands: &[Command]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for command in commands {
        std::mem::discriminant(command).hash(&mut hasher);
        match command {
            Command::Launch(launch) => (launch.function as usize).hash(&mut hasher),
            Command::Product(call) => call.identity().hash(&mut hasher),
            _ => {}
        }
    }
    hasher.finish()
}

fn said<E: Into<Fault>>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {}", error.into())
}
