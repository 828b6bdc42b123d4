//! A few numbers that a device may still be computing.

use crate::Result;
use crate::cuda::{self, CudaBuffer, CudaDevice};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A few numbers in f64, such as the totals of a loss, that the host reads when it wants them.
///
/// On the CPU they are there at once. On a CUDA device the host goes on while the device computes, and waits when it asks
/// for the [`values`](Pending::values); [`Pending::settle`] waits once for many. Clones share the numbers.
#[derive(Clone)]
pub struct Pending(Arc<Numbers>);

struct Numbers {
    /// What the host has; set at most once.
    host: OnceLock<Vec<f64>>,
    /// Where the device writes them, and how many.
    device: Option<(CudaDevice, CudaBuffer, usize)>,
}

impl Pending {
    /// Numbers that the host has.
    pub fn known(values: Vec<f64>) -> Pending {
        Pending(Arc::new(Numbers { host: OnceLock::from(values), device: None }))
    }

    /// The first `n` numbers of `buffer`, which launches that are under way write.
    pub(crate) fn on_device(device: &CudaDevice, buffer: CudaBuffer, n: usize) -> Pending {
        Pending(Arc::new(Numbers { host: OnceLock::new(), device: Some((device.clone(), buffer, n)) }))
    }

    /// The numbers, if the host has them.
    pub fn peek(&self) -> Option<&[f64]> {
        self.0.host.get().map(Vec::as_slice)
    }

    /// The numbers. It waits for a CUDA device, see [`Device::host_reads`](crate::Device::host_reads), unless the host
    /// has them.
    ///
    /// # Errors
    /// Errors of the device: also what any launch before did wrong.
    pub fn values(&self) -> Result<&[f64]> {
        Pending::settle(&[self])?;
        Ok(self.peek().expect("what is settled is there"))
    }

    /// Brings all of these to the host. It waits once for every device that has some, not once for each.
    ///
    /// # Errors
    /// Errors of the device: also what any launch before did wrong.
    pub fn settle(all: &[&Pending]) -> Result<()> {
        let mut left: Vec<&Pending> =
            all.iter().filter(|pending| pending.peek().is_none()).copied().collect();
        while let Some((device, _, _)) = left.first().and_then(|pending| pending.source()) {
            let (here, others): (Vec<_>, Vec<_>) =
                left.iter().partition(|pending| pending.source().is_some_and(|(other, ..)| other.is(device)));
            let sources: Vec<_> =
                here.iter().filter_map(|p: &&Pending| p.source().map(|(_, b, n)| (b, *n))).collect();
            for (pending, values) in here.iter().zip(cuda::copy::gather(device, &sources)?) {
                let _ = pending.0.host.set(values); // Another thread may have asked too; it got the same.
            }
            left = others;
        }
        Ok(())
    }

    pub(crate) fn source(&self) -> Option<&(CudaDevice, CudaBuffer, usize)> {
        self.0.device.as_ref()
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peek() {
            Some(values) => write!(f, "{values:?}"),
            None => f.write_str("(still on the device)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_has_is_there_at_once() {
        let (a, b) = (Pending::known(vec![1.0, 2.0]), Pending::known(vec![]));
        Pending::settle(&[&a, &b, &a]).unwrap();
        assert_eq!(a.peek(), Some(&[1.0, 2.0][..]));
        assert_eq!(b.values().unwrap(), [0.0f64; 0]);
        assert_eq!(format!("{a:?}"), "[1.0, 2.0]");
    }
}
