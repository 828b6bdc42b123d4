//! Memory on a device, and the pool it returns to.

use super::device::{CudaDevice, Inner};
use super::launch::{Ptr, PtrMut};
use super::matmul::Rounded;
use crate::pool::size_class;
use crate::{Error, Result};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of the smallest block; also what every block is a multiple of, so that 16-byte accesses are aligned.
const BLOCK: usize = 512;

/// Memory that returns to its device's pool when dropped.
pub(crate) struct CudaBuffer {
    device: CudaDevice,
    /// Where it lies, or why it could not be had: whoever asks for the address gets that.
    address: Result<u64>,
    bytes: usize,
    /// A matrix in it, given by its first element, rows and columns, that products want in bfloat16.
    rounded: Mutex<Option<([usize; 3], Rounded)>>,
}

impl CudaBuffer {
    /// Room for `elements` values of four bytes. Recycled memory holds what its last owner left in it; in debug builds it is
    /// filled with NaN, so that reading before writing shows.
    pub(super) fn new(device: &CudaDevice, elements: usize) -> CudaBuffer {
        let bytes = size_class(elements.saturating_mul(4).div_ceil(BLOCK)) * BLOCK;
        let address = device.inner().take(bytes);
        match &address {
            Ok(address) if cfg!(debug_assertions) => {
                device.attempt(|stream| stream.set_bytes(*address, 0xff, bytes));
            }
            Ok(_) => {}
            Err(error) => device.remember(error.clone()),
        }
        CudaBuffer { device: device.clone(), address, bytes, rounded: Mutex::default() }
    }

    /// The device it lies on.
    pub(crate) fn device(&self) -> &CudaDevice {
        &self.device
    }

    /// Element `offset`, for reading.
    ///
    /// # Errors
    /// What went wrong when the memory was asked for.
    pub(crate) fn ptr<T>(&self, offset: usize) -> Result<Ptr<T>> {
        Ok(Ptr::new(self.address()?).at(offset))
    }

    /// Element `offset`, for writing.
    ///
    /// # Errors
    /// What went wrong when the memory was asked for.
    pub(crate) fn ptr_mut<T>(&mut self, offset: usize) -> Result<PtrMut<T>> {
        // What was made of the old values is of no more use.
        *self.rounded.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(PtrMut::new(self.address()?).at(offset))
    }

    /// The place of a copy in bfloat16 of the matrix whose first element, rows and columns are given: the same one until the
    /// memory is written, or another matrix in it is asked for.
    pub(super) fn rounded(&self, matrix: [usize; 3]) -> Rounded {
        let mut kept = self.rounded.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((of, rounded)) if *of == matrix => rounded.clone(),
            _ => kept.insert((matrix, Rounded::default())).1.clone(),
        }
    }

    fn address(&self) -> Result<u64> {
        // What the device remembers may be this very error, which is told once, or one from before.
        self.address.clone().map_err(|error| self.device.trouble().unwrap_or(error))
    }
}

impl Drop for CudaBuffer {
    fn drop(&mut self) {
        if let Ok(address) = self.address {
            self.device.inner().give(address, self.bytes);
        }
    }
}

/// Free memory by size in bytes.
#[derive(Default)]
pub(super) struct Pool {
    free: Mutex<HashMap<usize, Vec<u64>>>,
}

impl Pool {
    pub(super) fn free(&self) -> MutexGuard<'_, HashMap<usize, Vec<u64>>> {
        // A panic elsewhere cannot leave a list of free addresses in a bad state.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that lie in the pool unused.
    pub(super) fn bytes(&self) -> usize {
        self.free().iter().map(|(bytes, list)| bytes * list.len()).sum()
    }
}

impl Inner {
    /// Memory of exactly `bytes`: recycled, or new; if there is no more, what lies unused in the pool is given back first.
    fn take(&self, bytes: usize) -> Result<u64> {
        if let Some(address) = self.pool.free().get_mut(&bytes).and_then(Vec::pop) {
            return Ok(address);
        }
        if let Ok(address) = self.stream.allocate(bytes) {
            return Ok(address);
        }
        self.trim()?;
        self.stream.allocate(bytes).map_err(|_| match self.stream.free_memory() {
            Ok(free) => Error::CudaMemory { bytes, free },
            Err(error) => error,
        })
    }

    fn give(&self, address: u64, bytes: usize) {
        self.pool.free().entry(bytes).or_default().push(address);
    }

    /// Gives unused memory back to the driver.
    pub(super) fn trim(&self) -> Result<()> {
        // Kernels that were launched before the memory was dropped may still use it.
        self.stream.synchronize()?;
        for address in self.pool.free().drain().flat_map(|(_, list)| list) {
            self.stream.release(address);
        }
        Ok(())
    }
}
