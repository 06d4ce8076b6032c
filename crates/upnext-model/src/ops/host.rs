//! Contiguous slices out of candle tensors that live in host memory.
//!
//! Custom ops receive storage and strides; the kernels want slices. Anything else than contiguous values of the
//! wanted type on the CPU is an error that names the tensor, never a silent copy.

use candle_core::{CpuStorage, Layout as Strides, Result, Storage, Tensor, WithDType, bail};
use std::ops::Deref;

/// The `f32` values of one argument of a custom op.
///
/// # Errors
/// When it is not contiguous `f32`.
pub fn slice<'a>(what: &str, storage: &'a CpuStorage, strides: &Strides) -> Result<&'a [f32]> {
    values(what, storage, strides)
}

/// The values of one argument of a custom op.
///
/// # Errors
/// When it is not contiguous, or of another type.
pub fn values<'a, T: WithDType>(what: &str, storage: &'a CpuStorage, strides: &Strides) -> Result<&'a [T]> {
    let Ok(values) = storage.as_slice::<T>() else {
        bail!("{what} must be {}", T::DTYPE.as_str());
    };
    match strides.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!("{what} must be contiguous"),
    }
}

/// A tensor's storage, held for reading.
pub struct Host<'a> {
    what: &'static str,
    storage: Box<dyn Deref<Target = Storage> + 'a>,
    strides: &'a Strides,
}

impl<'a> Host<'a> {
    /// Holds `tensor`, named `what` in errors.
    pub fn of(what: &'static str, tensor: &'a Tensor) -> Self {
        let (storage, strides) = tensor.storage_and_layout();
        Self { what, storage: Box::new(storage), strides }
    }

    /// The values of a tensor of `f32`.
    ///
    /// # Errors
    /// When the tensor is not contiguous `f32` on the CPU.
    pub fn values(&self) -> Result<&[f32]> {
        self.typed()
    }

    /// The values.
    ///
    /// # Errors
    /// When the tensor is not contiguous values of this type on the CPU.
    pub fn typed<T: WithDType>(&self) -> Result<&[T]> {
        match &**self.storage {
            Storage::Cpu(storage) => values(self.what, storage, self.strides),
            _ => bail!("{} must be on the CPU", self.what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_transposed_tensor_is_refused_by_name() {
        let x = Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu).unwrap().t().unwrap();
        let error = Host::of("x", &x).values().unwrap_err().to_string();
        assert!(error.contains("x must be contiguous"), "{error}");
    }

    #[test]
    fn doubles_are_refused_by_name() {
        let x = Tensor::zeros((2, 3), candle_core::DType::F64, &Device::Cpu).unwrap();
        assert!(Host::of("x", &x).values().unwrap_err().to_string().contains("x must be f32"));
    }

    #[test]
    fn a_narrowed_tensor_shows_its_own_rows() {
        let x = Tensor::new(&[[1_f32, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap();
        let row = x.narrow(0, 1, 1).unwrap();
        assert_eq!(Host::of("row", &row).values().unwrap(), &[3.0, 4.0]);
    }
}
