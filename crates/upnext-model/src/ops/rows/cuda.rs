//! Launches of the kernels in `cuda/rows.cu`.
//!
//! NVRTC compiles the source once a process; candle keeps the loaded module for each device. Every function here checks
//! that its arrays have the lengths that its kernel is told, and the kernels look at no id or index that is out of
//! range: that is what makes the launches sound, whatever the arrays hold.

use super::adam::Update;
use super::drop::{Drop, Of};
use super::squares::{PARTS, share};
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaSlice, CudaStream, CudaView, CudaViewMut, LaunchArgs, LaunchConfig, PinnedHostSlice,
    PushKernelArg,
};
use candle_core::cuda_backend::cudarc::nvrtc;
use candle_core::cuda_backend::{CudaDType, CudaDevice, WrapErr};
use candle_core::{CudaStorage, Layout as Strides, Result, Storage, bail};
use std::sync::{Arc, OnceLock};
use upnext_kernels::dropout::Draw;

/// The kernels, whole.
const SOURCE: &str = include_str!("../../../cuda/rows.cu");
/// The oldest architecture that runs them; a driver translates for newer ones.
const OLDEST: &str = "compute_80";
/// Threads of a block that reduces; the kernels have room for as many.
const THREADS: u32 = 256;
/// Most blocks along the second axis of a grid; kernels step over the rest.
const BLOCKS: usize = 65_535;
/// Columns that a block of the top-k kernel searches.
const WIDTH: usize = 4 * super::top_k::LONGEST;

/// A tensor that a kernel reads.
type Read<'a> = (&'a CudaStorage, &'a Strides);
/// A tensor that a kernel writes.
type Written<'a> = (&'a mut CudaStorage, &'a Strides);

/// The module's source for a driver, compiled when first needed.
pub(super) fn ptx() -> Result<&'static str> {
    static PTX: OnceLock<String> = OnceLock::new();
    if let Some(ptx) = PTX.get() {
        return Ok(ptx);
    }
    let options = nvrtc::CompileOptions { arch: Some(OLDEST), ..Default::default() };
    let ptx = nvrtc::compile_ptx_with_opts(SOURCE, options).map_err(candle_core::Error::wrap)?;
    Ok(PTX.get_or_init(|| ptx.to_src()))
}

/// A kernel, and the stream that candle's own work is queued on.
struct Kernel {
    function: CudaFunction,
    stream: Arc<CudaStream>,
}

impl Kernel {
    fn new(device: &CudaDevice, name: &str) -> Result<Self> {
        let function = device.get_or_load_custom_func(name, "upnext-rows", ptx()?)?.into_cuda_function();
        Ok(Self { function, stream: device.cuda_stream() })
    }

    fn call(&self) -> LaunchArgs<'_> {
        self.stream.launch_builder(&self.function)
    }
}

/// `(n, r)`: row `ids[p]` of a table.
pub(super) fn gather(table: Read<'_>, ids: Read<'_>) -> Result<CudaStorage> {
    let (rows, r) = table.1.shape().dims2()?;
    let (device, n) = (table.0.device.clone(), ids.1.shape().elem_count());
    let (table, ids) = (view::<f32>(table)?, view::<u32>(ids)?);
    // SAFETY: gather_rows writes every one of the n · r values.
    let mut out = unsafe { device.alloc::<f32>(n * r)? };
    let (rows, places, width) = (whole(rows)?, whole(n)?, whole(r)?);
    let kernel = Kernel::new(&device, "gather_rows")?;
    let mut call = kernel.call();
    call.arg(&table).arg(&ids).arg(&mut out).arg(&rows).arg(&places).arg(&width);
    if n * r > 0 {
        // SAFETY: the table has rows · r values, ids n, out n · r; the kernel reads no row but those below `rows`.
        unsafe { call.launch(by_rows(n, r)) }.w()?;
    }
    Ok(CudaStorage::wrap_cuda_slice(out, device))
}

/// `(u, r)`: the sums of gradients by segments.
pub(super) fn segment_sum(grads: Read<'_>, order: Read<'_>, starts: Read<'_>) -> Result<CudaStorage> {
    let (n, r) = grads.1.shape().dims2()?;
    let (places, u) = (order.1.shape().elem_count(), starts.1.shape().elem_count().saturating_sub(1));
    let device = grads.0.device.clone();
    let (grads, order, starts) = (view::<f32>(grads)?, view::<u32>(order)?, view::<u32>(starts)?);
    // SAFETY: segment_sum writes every one of the u · r values.
    let mut out = unsafe { device.alloc::<f32>(u * r)? };
    let (n, places, rows, width) = (whole(n)?, whole(places)?, whole(u)?, whole(r)?);
    let kernel = Kernel::new(&device, "segment_sum")?;
    let mut call = kernel.call();
    call.arg(&grads).arg(&order).arg(&starts).arg(&mut out).arg(&n).arg(&places).arg(&rows).arg(&width);
    if u * r > 0 {
        // SAFETY: grads has n · r values, order `places`, starts u + 1, out u · r; the kernel follows no start past
        // `places` and no place past n.
        unsafe { call.launch(by_rows(u, r)) }.w()?;
    }
    Ok(CudaStorage::wrap_cuda_slice(out, device))
}

/// `x` under a mask of dropout.
pub(super) fn drop(x: Read<'_>, op: &Drop) -> Result<CudaStorage> {
    let (device, dims) = (x.0.device.clone(), x.1.shape().dims().to_vec());
    let ids_at = op.ids.storage_and_layout();
    let ids = view::<u32>((on_cuda(&ids_at.0)?, ids_at.1))?;
    let x = view::<f32>(x)?;
    if ids.len() != dims[0] {
        bail!("a mask of {} entries for {:?} values", ids.len(), dims);
    }
    // SAFETY: both kernels write every value.
    let mut out = unsafe { device.alloc::<f32>(x.len())? };
    let (rows, width) = (x.len() / dims[dims.len() - 1].max(1), dims[dims.len() - 1]);
    let sizes: Vec<u32> = dims.iter().map(|&size| whole(size)).collect::<Result<_>>()?;
    let Draw { key, dropped, kept } = op.mask.draw();
    let name = match op.of {
        Of::Tokens => "drop_tokens",
        Of::Probabilities => "drop_probabilities",
    };
    let kernel = Kernel::new(&device, name)?;
    let mut call = kernel.call();
    call.arg(&x).arg(&ids).arg(&mut out);
    // (n, d) or (b, h, t): the last axis of probabilities is as long as the one before.
    sizes[..sizes.len().min(3)].iter().for_each(|size| {
        call.arg(size);
    });
    call.arg(&key).arg(&dropped).arg(&kept);
    if !x.is_empty() {
        // SAFETY: x and out have the product of the sizes (the last of four being the third again), ids the first.
        unsafe { call.launch(by_rows(rows, width)) }.w()?;
    }
    Ok(CudaStorage::wrap_cuda_slice(out, device))
}

/// Writes the sums of squares of [`PARTS`] runs of `x`.
pub(super) fn square_parts((parts, layout): Written<'_>, x: Read<'_>) -> Result<()> {
    if layout.shape().elem_count() != PARTS {
        bail!("a sum of squares has {PARTS} parts, not {:?}", layout.shape());
    }
    let (device, n) = (x.0.device.clone(), x.1.shape().elem_count());
    let (x, mut parts) = (view::<f32>(x)?, view_mut::<f64>((parts, layout))?);
    let (count, share) = (n as u64, share(n) as u64);
    let kernel = Kernel::new(&device, "square_parts")?;
    let mut call = kernel.call();
    call.arg(&x).arg(&mut parts).arg(&count).arg(&share);
    // SAFETY: x has n values, parts one for each block, and a block has the kernel's number of threads.
    unsafe { call.launch(grid(PARTS, 1, THREADS)) }.w()?;
    Ok(())
}

/// `[scale, flag, norm, loss]`.
pub(super) fn control(parts: Read<'_>, loss: Read<'_>, clip: f64) -> Result<CudaStorage> {
    let (device, count) = (loss.0.device.clone(), parts.1.shape().elem_count() as u64);
    let (parts, loss) = (view::<f64>(parts)?, view::<f32>(loss)?);
    if loss.len() != 1 {
        bail!("the loss must be one number");
    }
    // SAFETY: control writes all four.
    let mut out = unsafe { device.alloc::<f32>(4)? };
    let kernel = Kernel::new(&device, "control")?;
    let mut call = kernel.call();
    call.arg(&parts).arg(&loss).arg(&mut out).arg(&count).arg(&clip);
    // SAFETY: parts has `count` values, the loss one, out four, and a block has the kernel's number of threads.
    unsafe { call.launch(grid(1, 1, THREADS)) }.w()?;
    Ok(CudaStorage::wrap_cuda_slice(out, device))
}

/// Moves values and their moments, all of them or some rows.
pub(super) fn adam(
    values: Written<'_>,
    moments: Written<'_>,
    gradient: Read<'_>,
    control: Read<'_>,
    update: &Update<'_>,
) -> Result<()> {
    let (device, shape, n) = (values.0.device.clone(), values.1.shape(), values.1.shape().elem_count());
    let (mut values, mut moments) = (view_mut::<f32>(values)?, view_mut::<f32>(moments)?);
    let (grads, control) = (view::<f32>(gradient)?, view::<f32>(control)?);
    if moments.len() != 2 * n || control.len() != 4 {
        bail!("an update of {n} values got {} moments and a control of {}", moments.len(), control.len());
    }
    let (mut m, mut v) = moments.split_at_mut(n);
    let a = update.adam;
    let (keep, step) = (1.0 - a.lr * a.weight_decay, a.lr * a.correction1);
    if let Some(ids) = update.ids {
        let ids_at = ids.storage_and_layout();
        let ids = view::<u32>((on_cuda(&ids_at.0)?, ids_at.1))?;
        let ((rows, r), u) = (shape.dims2()?, ids.len());
        if grads.len() != u * r {
            bail!("{} gradients for {u} rows of {r}", grads.len());
        }
        let (rows, named, width) = (whole(rows)?, whole(u)?, whole(r)?);
        let kernel = Kernel::new(&device, "adam_rows")?;
        let mut call = kernel.call();
        call.arg(&mut values).arg(&mut m).arg(&mut v).arg(&grads).arg(&control).arg(&ids);
        call.arg(&rows).arg(&named).arg(&width);
        call.arg(&a.beta1).arg(&a.beta2).arg(&a.eps).arg(&keep).arg(&step).arg(&a.correction2);
        if u * r > 0 {
            // SAFETY: values, m and v have rows · r values each, grads u · r, ids u; the kernel touches no row but
            // those below `rows`.
            unsafe { call.launch(by_rows(u, r)) }.w()?;
        }
        return Ok(());
    }
    if grads.len() != n {
        bail!("{} gradients for {n} values", grads.len());
    }
    let count = n as u64;
    let kernel = Kernel::new(&device, "adam_all")?;
    let mut call = kernel.call();
    call.arg(&mut values).arg(&mut m).arg(&mut v).arg(&grads).arg(&control).arg(&count);
    call.arg(&a.beta1).arg(&a.beta2).arg(&a.eps).arg(&keep).arg(&step).arg(&a.correction2);
    if n > 0 {
        // SAFETY: values, m, v and grads have n values each.
        unsafe { call.launch(grid(n.div_ceil(THREADS as usize), 1, THREADS)) }.w()?;
    }
    Ok(())
}

/// `(b, k)` ids: pass after pass takes the best of each block of columns, until there is one block a row.
pub(super) fn top_k(scores: Read<'_>, k: usize) -> Result<CudaStorage> {
    let (b, columns) = scores.1.shape().dims2()?;
    let device = scores.0.device.clone();
    let scores = view::<f32>(scores)?;
    if k == 0 || k > super::top_k::LONGEST {
        bail!("a list of {k} is not 1 to {} long", super::top_k::LONGEST);
    }
    let (mut blocks, mut best) =
        (columns.div_ceil(WIDTH), Best::new(&device, b * columns.div_ceil(WIDTH) * k)?);
    let (rows, list, width) = (whole(b)?, whole(k)?, whole(WIDTH)?);
    let mut wide = whole(columns)?;
    if b * columns > 0 {
        let kernel = Kernel::new(&device, "top_k")?;
        let mut call = kernel.call();
        call.arg(&scores)
            .arg(&mut best.scores)
            .arg(&mut best.ids)
            .arg(&rows)
            .arg(&wide)
            .arg(&width)
            .arg(&list);
        // SAFETY: scores has b · columns values, best b · blocks · k; a block has the kernel's number of threads.
        unsafe { call.launch(grid(blocks, b, THREADS)) }.w()?;
    }
    while blocks > 1 {
        wide = whole(blocks * k)?;
        blocks = (blocks * k).div_ceil(WIDTH);
        let mut next = Best::new(&device, b * blocks * k)?;
        let kernel = Kernel::new(&device, "top_k_of")?;
        let mut call = kernel.call();
        call.arg(&best.scores).arg(&best.ids).arg(&mut next.scores).arg(&mut next.ids);
        call.arg(&rows).arg(&wide).arg(&width).arg(&list);
        if b > 0 {
            // SAFETY: best has b · wide scores and ids, next b · blocks · k; a block has the kernel's threads.
            unsafe { call.launch(grid(blocks, b, THREADS)) }.w()?;
        }
        best = next;
    }
    Ok(CudaStorage::wrap_cuda_slice(best.ids, device))
}

/// Host memory that the driver writes a result into.
#[derive(Debug)]
pub(super) struct Pinned(PinnedHostSlice<f32>);

impl Pinned {
    /// The values, once they have arrived.
    pub(super) fn values(&self) -> Result<Vec<f32>> {
        Ok(self.0.as_slice().w()?.to_vec())
    }
}

/// Queues a copy to the host, into memory of an earlier one where that has the same length.
pub(super) fn post(result: Read<'_>, free: Option<Pinned>) -> Result<Pinned> {
    let stream = result.0.device.cuda_stream();
    let result = view::<f32>(result)?;
    let mut pinned = match free {
        Some(Pinned(pinned)) if pinned.len() == result.len() => pinned,
        // SAFETY: nothing reads the memory before the copy has written all of it.
        _ => unsafe { stream.context().alloc_pinned_with_flags(result.len(), 0) }.w()?,
    };
    stream.memcpy_dtoh(&result, &mut pinned).w()?;
    Ok(Pinned(pinned))
}

/// What a pass of top-k has found.
struct Best {
    scores: CudaSlice<f32>,
    ids: CudaSlice<u32>,
}

impl Best {
    fn new(device: &CudaDevice, len: usize) -> Result<Self> {
        // SAFETY: a pass of top-k writes every score and every id.
        Ok(unsafe { Self { scores: device.alloc(len)?, ids: device.alloc(len)? } })
    }
}

/// The values of a contiguous tensor, exactly as many as its shape says.
fn view<'a, T: CudaDType>((storage, layout): Read<'a>) -> Result<CudaView<'a, T>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(storage.as_cuda_slice::<T>()?.slice(start..end)),
        None => bail!("a kernel reads contiguous tensors only"),
    }
}

fn view_mut<'a, T: CudaDType>((storage, layout): Written<'a>) -> Result<CudaViewMut<'a, T>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(storage.as_cuda_slice_mut::<T>()?.slice_mut(start..end)),
        None => bail!("a kernel writes contiguous tensors only"),
    }
}

fn on_cuda(storage: &Storage) -> Result<&CudaStorage> {
    match storage {
        Storage::Cuda(storage) => Ok(storage),
        _ => bail!("all tensors of an update must be on the same GPU"),
    }
}

/// A number as kernels take it.
fn whole(number: usize) -> Result<u32> {
    match u32::try_from(number) {
        Ok(number) => Ok(number),
        Err(_) => bail!("a kernel counts to {} rows, columns or places, not {number}", u32::MAX),
    }
}

/// A block a row, a thread a column.
fn by_rows(rows: usize, columns: usize) -> LaunchConfig {
    grid(rows, 1, columns.next_multiple_of(32).min(THREADS as usize) as u32)
}

fn grid(x: usize, y: usize, threads: u32) -> LaunchConfig {
    let (x, y) = (x.clamp(1, i32::MAX as usize) as u32, y.clamp(1, BLOCKS) as u32);
    LaunchConfig { grid_dim: (x, y, 1), block_dim: (threads, 1, 1), shared_mem_bytes: 0 }
}
