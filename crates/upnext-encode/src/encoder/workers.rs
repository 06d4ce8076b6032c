//! Batches side by side: each worker computes whole batches alone.
//!
//! Many small products do not get faster by being shared among threads. Every worker has a pool of one thread, in which
//! a product of candle's that would spread stays (its larger element-wise operations take turns on a pool of candle's
//! own, which nobody can choose). No result depends on how many workers there are.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::{Error, Result};

/// Runs all batches of places on as many workers as rayon has threads, and hands each result over on the calling thread.
///
/// # Errors
/// The first one that `compute` or `take` gives; one of `take` stops the workers.
pub(super) fn run(
    batches: &[Vec<usize>],
    compute: impl Fn(&[usize]) -> Result<Vec<f32>> + Sync,
    mut take: impl FnMut(&[usize], &[f32]) -> Result<()>,
    text: impl Fn(usize) -> String,
) -> Result<()> {
    let count = rayon::current_num_threads().min(batches.len());
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(2 * count.max(1));
        for _ in 0..count {
            let (sender, next, compute) = (sender.clone(), &next, &compute);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
            let pool = pool.map_err(|source| Error::Threads { source: Box::new(source) })?;
            scope.spawn(move || {
                while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if sender.send((batch, pool.install(|| compute(batch)))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        // Leaving early drops the receiver, at which the workers stop.
        for (batch, rows) in receiver {
            let rows = rows?;
            if let Some(at) = rows.iter().position(|value| !value.is_finite()) {
                let place = batch[at * batch.len() / rows.len()];
                let (problem, text) = (format!("the encoder gives {}", rows[at]), text(place));
                return Err(Error::Text { text: text.chars().take(60).collect(), problem });
            }
            take(batch, &rows)?;
        }
        Ok(())
    })
}
