//! stub
use crate::Rows;
/// g
pub fn gather(table: &[f32], width: usize, ids: &[u32], out: &mut [f32]) { todo!() }
/// s
pub fn segment_sum(grads: Rows<'_>, order: &[u32], starts: &[u32], out: &mut [f32]) { todo!() }
/// a
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    /// lr
    pub lr: f32,
    /// b1
    pub beta1: f32,
    /// b2
    pub beta2: f32,
    /// e
    pub eps: f32,
    /// w
    pub weight_decay: f32,
    /// c1
    pub correction1: f32,
    /// c2
    pub correction2: f32,
}
/// a
pub fn adamw(values: &mut [f32], m: &mut [f32], v: &mut [f32], grad: &[f32], scale: f32, adam: &Adam) { todo!() }
/// r
#[expect(clippy::too_many_arguments, reason = "stub")]
pub fn adam_rows(table: &mut [f32], m: &mut [f32], v: &mut [f32], width: usize, ids: &[u32], grads: &[f32], scale: f32, adam: &Adam) { todo!() }
/// q
pub fn sum_squares(x: &[f32]) -> f64 { todo!() }
