//! stub
use crate::RowsMut;
/// The masked columns of each row: row j's are `columns[starts[j]..starts[j + 1]]`.
#[derive(Clone, Copy, Debug)]
pub struct Dropped<'a> {
    /// (m + 1) where each row's columns start; empty: nothing is dropped.
    pub starts: &'a [u32],
    /// Columns.
    pub columns: &'a [u32],
}
impl Dropped<'_> {
    /// Nothing is dropped.
    pub const NONE: Dropped<'static> = Dropped { starts: &[], columns: &[] };
}
/// ce
pub fn cross_entropy_rows(logits: RowsMut<'_>, positive: &mut [f32], log_kq: &[f32], dropped: &Dropped<'_>, weight: f32) -> f64 { todo!() }
/// Running log-sum-exp.
#[derive(Clone, Copy, Debug)]
pub struct LogSumExp {
    max: f32,
    sum: f64,
}
impl LogSumExp {
    /// empty
    pub fn new() -> LogSumExp { todo!() }
    /// adds
    pub fn push(&mut self, block: &[f32]) { todo!() }
    /// joins
    pub fn merge(&mut self, other: &LogSumExp) { todo!() }
    /// value
    pub fn value(&self) -> f64 { todo!() }
}
/// In place: `weight · exp(logit - lse[row])`.
pub fn probability_rows(logits: RowsMut<'_>, lse: &[f64], weight: f32) { todo!() }
