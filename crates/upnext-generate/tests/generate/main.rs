//! The promises of the generator, on small models with random weights.

#[cfg(test)]
mod adjust;
#[cfg(test)]
mod batching;
#[cfg(test)]
mod eligibility;
#[cfg(test)]
mod fallback;
#[cfg(test)]
mod folder;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod methods;
#[cfg(test)]
mod multi_token;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod scoring;
#[cfg(test)]
mod search;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod stops;
#[cfg(test)]
mod support;
#[cfg(test)]
mod windows;
