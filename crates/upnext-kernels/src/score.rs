//! stub
use crate::Rows;
use crate::product::Packed;
/// t
#[derive(Clone, Copy, Debug)]
pub enum Table<'a> {
    /// r
    Rows {
        /// d
        data: &'a [f32],
        /// r
        rank: usize,
    },
    /// p
    Packed(&'a Packed),
}
/// e
#[derive(Clone, Copy, Debug)]
pub enum Eligible<'a> {
    /// b
    AllBut(&'a [u32]),
    /// o
    Only(&'a [u32]),
}
/// q
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// v
    pub vector: &'a [f32],
    /// e
    pub eligible: Eligible<'a>,
    /// k
    pub k: usize,
}
/// r
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// i
    pub ids: Vec<u32>,
    /// s
    pub scores: Vec<f32>,
    /// l
    pub log_sum_exp: f64,
    /// e
    pub eligible: usize,
}
/// r
pub fn rank(queries: &[Query<'_>], table: &Table<'_>, parallel: bool) -> Vec<Ranked> { todo!() }
/// s
pub fn scores(queries: Rows<'_>, table: &Table<'_>, out: &mut [f32], parallel: bool) { todo!() }
