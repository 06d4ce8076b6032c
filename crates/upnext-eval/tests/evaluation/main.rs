//! The crate from outside: systems against brute force, reports against predictions, baselines
//! against the numbers that we publish.
#![forbid(unsafe_code)]

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod cold;
#[cfg(test)]
mod markov;
#[cfg(test)]
mod model;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod report;
#[cfg(test)]
mod toy;
