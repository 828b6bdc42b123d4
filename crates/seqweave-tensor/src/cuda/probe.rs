//! What a device can do at best, for measurements: `kernels/cu/probe.cu`.

use super::launch::{PtrMut, int};
use super::{CudaDevice, launchers};
use crate::{Error, Result};

impl CudaDevice {
    /// Blocks on all multiprocessors wait for each other `rounds` times and do nothing else. The host waits.
    ///
    /// # Errors
    /// Errors of the device; [`Error::Cuda`] if a block passed another number of barriers.
    pub fn grid_barriers(&self, rounds: usize) -> Result<()> {
        let (stream, blocks) = (self.stream()?, self.inner().stream.multiprocessors());
        let (mut counter, mut done) = (self.room::<u32>(1), self.room::<u32>(blocks as usize));
        let (counter, done_out): (PtrMut<u32>, _) = (counter.ptr_mut(0)?, done.ptr_mut(0)?);
        stream.set_bytes(counter.address(), 0, size_of::<u32>())?;
        // SAFETY: there is one counter and a number a block; a block a multiprocessor is resident.
        unsafe { launchers::grid_barriers(stream, [blocks, 1, 1], 0, counter, done_out, int(rounds)?)? };
        let mut passed = vec![0u32; blocks as usize];
        self.download(done.ptr(0)?, &mut passed)?;
        match passed.iter().find(|&&passed| passed as usize != rounds) {
            None => Ok(()),
            Some(passed) => {
                let reason = format!("a block passed {passed} barriers of {rounds}");
                Err(Error::Cuda { what: "grid_barriers", reason })
            }
        }
    }
}
