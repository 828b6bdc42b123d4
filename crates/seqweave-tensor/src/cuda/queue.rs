//! What a stream is told to do, and when: at once, or noted down and handed over together as a CUDA graph.
//!
//! A training step is some hundreds of launches, each of which costs the host about as long as a small kernel runs. While
//! work is recorded, commands are only noted down; when the host wants to read, or the recording ends, they go to the
//! device as one graph. The host still walks the model at every step, because a step differs from the last in addresses,
//! lengths, dropout and learning rate: the graph that was made of the same sequence of kernels is brought up to date
//! rather than made anew. Where a driver refuses, the commands are issued one by one, in the same order, with the same
//! bits; [`Queue::report`] has the reason.

use super::detect::describe;
use super::graph::Graphs;
use super::library::Call;
use super::staging::Staging;
use cudarc::cublaslt::result::CublasError;
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;
use std::ffi::c_void;
use std::fmt;

/// Commands fewer than these are not worth a graph.
const WORTH_A_GRAPH: usize = 16;

/// One thing to do on a device. Memory that it names lives until it is done: the pool hands memory out in the order of the
/// stream, and staged values stay until the host has waited.
pub(super) enum Command {
    Launch(Launch),
    /// A matrix product that cuBLASLt makes.
    Product(Call),
    /// Bytes from the host, which lie in pinned memory.
    Upload {
        from: *const u8,
        to: u64,
        bytes: usize,
    },
    Copy {
        from: u64,
        to: u64,
        bytes: usize,
    },
    Set {
        to: u64,
        value: u8,
        bytes: usize,
    },
}

/// What the driver or cuBLASLt refused.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    Driver(DriverError),
    Library(CublasError),
}

impl From<DriverError> for Fault {
    fn from(error: DriverError) -> Self {
        Fault::Driver(error)
    }
}

impl From<CublasError> for Fault {
    fn from(error: CublasError) -> Self {
        Fault::Library(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Fault::Driver(error) => f.write_str(&describe(error)),
            Fault::Library(error) => write!(f, "{error}"),
        }
    }
}

/// A launch with its arguments, one word each.
pub(super) struct Launch {
    pub(super) name: &'static str,
    pub(super) function: sys::CUfunction,
    pub(super) grid: [u32; 3],
    pub(super) threads: u32,
    pub(super) shared: u32,
    pub(super) cooperative: bool,
    pub(super) args: Vec<u64>,
}

// SAFETY: the pointers name a kernel and pinned memory, which no thread owns; they are handed to the driver alone, which
// may be called from any thread with the context current.
unsafe impl Send for Command {}

impl Command {
    /// What was being done if the driver reports an error.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Command::Launch(launch) => launch.name,
            Command::Product(_) => "a product by cuBLASLt",
            Command::Upload { .. } => "a copy to the device",
            Command::Copy { .. } => "a copy on the device",
            Command::Set { .. } => "setting memory",
        }
    }

    /// Hands it to the driver.
    ///
    /// # Safety
    /// The context is current, the stream is of this context, and what the command says is in order.
    pub(super) unsafe fn issue(&self, stream: sys::CUstream) -> Result<(), Fault> {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Command::Launch(launch) => {
                    let mut args: Vec<*mut c_void> =
                        launch.args.iter().map(|word| std::ptr::from_ref(word).cast_mut().cast()).collect();
                    issue_launch(launch, stream, &mut args)?;
                }
                Command::Product(call) => call.issue(stream)?,
                &Command::Upload { from, to, bytes } => {
                    result::memcpy_htod_async(to, std::slice::from_raw_parts(from, bytes), stream)?;
                }
                &Command::Copy { from, to, bytes } => result::memcpy_dtod_async(to, from, bytes, stream)?,
                &Command::Set { to, value, bytes } => result::memset_d8_async(to, value, bytes, stream)?,
            }
        }
        Ok(())
    }
}

unsafe fn issue_launch(
    launch: &Launch,
    stream: sys::CUstream,
    args: &mut [*mut c_void],
) -> Result<(), DriverError> {
    let &Launch { function, grid, threads, shared, cooperative, .. } = launch;
    let (grid, block) = ((grid[0], grid[1], grid[2]), (threads, 1, 1));
    // SAFETY: the caller's promise.
    unsafe {
        if cooperative {
            result::launch_cooperative_kernel(function, grid, block, shared, stream, args)
        } else {
            result::launch_kernel(function, grid, block, shared, stream, args)
        }
    }
}

/// How often graphs were used, and why not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GraphReport {
    /// Launches of graphs.
    pub launched: u64,
    /// Graphs made.
    pub made: u64,
    /// Graphs that were brought up to date rather than made anew.
    pub updated: u64,
    /// Why commands are issued one by one although graphs were asked for.
    pub refused: Option<String>,
}

/// The commands of a stream.
pub(super) struct Queue {
    stream: sys::CUstream,
    pub(super) staging: Staging,
    recorded: Option<Vec<Command>>,
    graphs: Option<Graphs>,
    report: GraphReport,
}

// SAFETY: stream and graphs are handed to the driver alone, under the lock around the queue.
unsafe impl Send for Queue {}

impl Queue {
    /// `graphs` if work is to be recorded, or why it cannot be.
    pub(super) fn new(stream: sys::CUstream, graphs: Result<Option<Graphs>, String>) -> Queue {
        let (graphs, refused) = match graphs {
            Ok(graphs) => (graphs, None),
            Err(reason) => (None, Some(reason)),
        };
        let report = GraphReport { refused, ..GraphReport::default() };
        Queue { stream, staging: Staging::default(), recorded: None, graphs, report }
    }

    pub(super) fn report(&self) -> &GraphReport {
        &self.report
    }

    /// Notes commands down from now on; `false` if they are being noted down already, or graphs are not used.
    pub(super) fn record(&mut self) -> bool {
        let starts = self.graphs.is_some() && self.recorded.is_none();
        if starts {
            self.recorded = Some(Vec::new());
        }
        starts
    }

    /// Hands over what was noted down, and issues commands at once from now on.
    pub(super) fn end_recording(&mut self) -> Result<(), (&'static str, Fault)> {
        let flushed = self.flush();
        self.recorded = None;
        flushed
    }

    /// Does `command` now, or notes it down.
    pub(super) fn push(&mut self, command: Command) -> Result<(), (&'static str, Fault)> {
        if let Some(recorded) = &mut self.recorded {
            recorded.push(command);
            return Ok(());
        }
        // SAFETY: whoever makes a command has bound the context and vouches for it.
        unsafe { command.issue(self.stream) }.map_err(|error| (command.what(), error))
    }

    /// Hands over what was noted down, before the host waits or works on the stream past this queue.
    pub(super) fn flush(&mut self) -> Result<(), (&'static str, Fault)> {
        let commands = self.recorded.as_mut().map(std::mem::take).unwrap_or_default();
        if commands.len() >= WORTH_A_GRAPH
            && let Some(graphs) = &mut self.graphs
        {
            match graphs.run(&commands, self.stream, &mut self.report) {
                Ok(()) => return Ok(()),
                Err(reason) => {
                    self.report.refused = Some(reason);
                    self.graphs = None;
                }
            }
        }
        for command in commands {
            // SAFETY: as in `push`.
            unsafe { command.issue(self.stream) }.map_err(|error| (command.what(), error))?;
        }
        Ok(())
    }

    /// Gives back what the driver gave; the context is current and all work is done.
    pub(super) fn close(&mut self) {
        self.graphs = None;
        self.staging.release();
    }
}
