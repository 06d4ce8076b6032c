//! The layer ops held together: fused against reference, reference against finite differences, any number of threads,
//! and serving against training.

mod attention;
mod embed;
mod mlp;
mod rows;
mod serving;
mod support;
mod threads;
