//! What a generated launcher passes to a kernel.

use std::ffi::c_void;
use std::marker::PhantomData;

pub(crate) use crate::Result;

/// An address on the device that a kernel reads from.
#[repr(transparent)]
pub(crate) struct Ptr<T>(u64, PhantomData<*const T>);

/// An address on the device that a kernel writes to.
#[repr(transparent)]
pub(crate) struct PtrMut<T>(u64, PhantomData<*mut T>);

impl<T> Ptr<T> {
    pub(super) fn new(address: u64) -> Self {
        Ptr(address, PhantomData)
    }

    pub(super) fn address(self) -> u64 {
        self.0
    }

    /// The address `elements` further on.
    pub(crate) fn at(self, elements: usize) -> Self {
        Ptr::new(self.0 + (elements * size_of::<T>()) as u64)
    }

    /// An address that a kernel compares with zero and does not read.
    pub(crate) fn null() -> Self {
        Ptr::new(0)
    }
}

impl<T> PtrMut<T> {
    pub(super) fn new(address: u64) -> Self {
        PtrMut(address, PhantomData)
    }

    pub(super) fn address(self) -> u64 {
        self.0
    }

    /// The address `elements` further on.
    pub(crate) fn at(self, elements: usize) -> Self {
        PtrMut::new(self.0 + (elements * size_of::<T>()) as u64)
    }

    /// The same address for reading.
    pub(crate) fn read(self) -> Ptr<T> {
        Ptr::new(self.0)
    }
}

impl<T> Clone for Ptr<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Ptr<T> {}

impl<T> Clone for PtrMut<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for PtrMut<T> {}

/// Where the driver finds an argument: it copies the bytes behind this address before the launch returns.
pub(super) fn arg<T: Copy>(value: &T) -> *mut c_void {
    std::ptr::from_ref(value).cast_mut().cast()
}

/// An extent as kernels count.
///
/// # Errors
/// [`Error::Value`](crate::Error::Value) beyond 2³¹ - 1.
pub(super) fn int(extent: usize) -> Result<i32> {
    i32::try_from(extent).map_err(|_| crate::Error::Value {
        op: "CUDA",
        name: "number of elements",
        expected: "below 2^31",
        found: extent.to_string(),
    })
}

/// 0 overwrites, 1 adds.
pub(super) fn flag(acc: crate::Acc) -> i32 {
    i32::from(acc == crate::Acc::Add)
}
