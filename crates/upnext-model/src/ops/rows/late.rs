//! Small results on their way from a device to the host.

use super::check_type;
#[cfg(feature = "cuda")]
use super::cuda::Pinned;
#[cfg(feature = "cuda")]
use candle_core::Storage;
use candle_core::{DType, Result, Tensor};
use std::collections::VecDeque;

/// Results that are posted without waiting and read in the same order, each as soon as it has arrived.
///
/// On CUDA a result is copied behind the work that makes it, into memory that the driver can write; reading one waits for
/// that copy alone, and not for what was queued after it. On Metal reading waits for the queue.
#[derive(Debug, Default)]
pub struct Late {
    waiting: VecDeque<Waiting>,
    /// Memory of results that were read.
    #[cfg(feature = "cuda")]
    free: Vec<Pinned>,
}

#[derive(Debug)]
enum Waiting {
    Here(Tensor),
    #[cfg(feature = "cuda")]
    Travelling(Pinned),
}

impl Late {
    /// Sends a contiguous f32 tensor.
    ///
    /// # Errors
    /// When it is no such tensor, or the device refuses.
    pub fn post(&mut self, result: &Tensor) -> Result<()> {
        check_type("a late result", result, DType::F32)?;
        #[cfg(feature = "cuda")]
        {
            let (storage, layout) = result.storage_and_layout();
            if let Storage::Cuda(storage) = &*storage {
                let pinned = super::cuda::post((storage, layout), self.free.pop())?;
                self.waiting.push_back(Waiting::Travelling(pinned));
                return Ok(());
            }
        }
        self.waiting.push_back(Waiting::Here(result.detach()));
        Ok(())
    }

    /// How many have not been read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether all have been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The oldest result that was not read; waits until it is there.
    ///
    /// # Errors
    /// When work that was queued before it has failed.
    pub fn read(&mut self) -> Result<Option<Vec<f32>>> {
        match self.waiting.pop_front() {
            None => Ok(None),
            Some(Waiting::Here(result)) => Ok(Some(result.flatten_all()?.to_vec1()?)),
            #[cfg(feature = "cuda")]
            Some(Waiting::Travelling(pinned)) => {
                let values = pinned.values()?;
                self.free.push(pinned);
                Ok(Some(values))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn results_are_read_in_the_order_they_were_posted() {
        let mut late = Late::default();
        for value in [1.0_f32, 2.0] {
            late.post(&Tensor::new(&[value, 0.5], &Device::Cpu).unwrap()).unwrap();
        }
        assert_eq!(late.len(), 2);
        assert_eq!(late.read().unwrap(), Some(vec![1.0, 0.5]));
        assert_eq!(late.read().unwrap(), Some(vec![2.0, 0.5]));
        assert_eq!(late.read().unwrap(), None);
        assert!(late.post(&Tensor::new(&[1_u32], &Device::Cpu).unwrap()).is_err());
    }
}
