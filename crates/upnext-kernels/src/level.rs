//! Which vector instructions the kernels use, found out when the program runs.
//!
//! A build for any x86-64 CPU carries every kernel three times and picks the widest form the CPU has (products of int8 a
//! fourth time, for CPUs with VNNI beside AVX-512). All forms round in the same places (multiply-adds are fused
//! everywhere, sums have fixed lanes), so the level moves time and no bit. On other architectures the
//! portable form is compiled for whatever the target offers.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

/// A set of vector instructions, from narrow to wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Plain Rust; correct everywhere, slow on x86-64, where each fused multiply-add is a call.
    Portable,
    /// AVX2 and FMA: 8 floats.
    Avx2,
    /// AVX-512 F, BW, DQ and VL: 16 floats.
    Avx512,
}

impl Level {
    /// The widest level of this CPU.
    #[must_use]
    pub fn detected() -> Level {
        #[cfg(target_arch = "x86_64")]
        {
            use std::is_x86_feature_detected as has;
            let avx2 = has!("avx2") && has!("fma") && has!("bmi2");
            if avx2 && has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl") {
                return Level::Avx512;
            }
            if avx2 {
                return Level::Avx2;
            }
        }
        Level::Portable
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Portable => "portable",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        })
    }
}

/// A level was asked for that this CPU does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelError {
    /// The level that was asked for.
    pub asked: Level,
    /// The widest level this CPU has.
    pub widest: Level,
}

impl fmt::Display for LevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this CPU has no {}; ask for {} or a narrower level", self.asked, self.widest)
    }
}

impl std::error::Error for LevelError {}

/// Not chosen yet; otherwise a level's number.
const UNKNOWN: u8 = u8::MAX;
static CHOSEN: AtomicU8 = AtomicU8::new(UNKNOWN);

/// The level in use: the widest of this CPU unless [`pin`] chose another.
pub fn current() -> Level {
    Chosen::now().0
}

/// Makes all kernels of this process use `level` from now on.
///
/// # Errors
/// When this CPU lacks the level.
pub fn pin(level: Level) -> Result<(), LevelError> {
    let chosen = Chosen::at(level).ok_or(LevelError { asked: level, widest: Level::detected() })?;
    CHOSEN.store(chosen.0 as u8, Ordering::Relaxed);
    Ok(())
}

/// A level that this CPU is known to have: the proof that the `unsafe` dispatch needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chosen(Level);

impl Chosen {
    /// The level in use.
    #[inline]
    pub(crate) fn now() -> Chosen {
        match CHOSEN.load(Ordering::Relaxed) {
            0 => Chosen(Level::Portable),
            1 => Chosen(Level::Avx2),
            2 => Chosen(Level::Avx512),
            _ => Chosen::detect(),
        }
    }

    #[cold]
    fn detect() -> Chosen {
        let level = Level::detected();
        CHOSEN.store(level as u8, Ordering::Relaxed);
        Chosen(level)
    }

    /// `level`, if this CPU has it.
    pub(crate) fn at(level: Level) -> Option<Chosen> {
        (level <= Level::detected()).then_some(Chosen(level))
    }

    /// The level.
    #[inline]
    pub(crate) fn level(self) -> Level {
        self.0
    }

    /// Every level of this CPU, for tests.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Chosen> {
        [Level::Portable, Level::Avx2, Level::Avx512].into_iter().filter_map(Chosen::at).collect()
    }
}

/// Compiles one loop body for AVX-512, for AVX2 with FMA and for the baseline, and picks by a [`Chosen`] level, which
/// becomes the function's first argument. The body must be plain Rust that the compiler can vectorise.
macro_rules! simd {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($a:ident : $t:ty),* $(,)?) $(-> $r:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name(level: $crate::level::Chosen, $($a: $t),*) $(-> $r)? {
            #[inline(always)]
            fn body($($a: $t),*) $(-> $r)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2")]
                fn avx512($($a: $t),*) $(-> $r)? {
                    body($($a),*)
                }
                #[target_feature(enable = "avx2,fma,bmi2")]
                fn avx2($($a: $t),*) $(-> $r)? {
                    body($($a),*)
                }
                #[expect(unsafe_code, reason = "calls a function compiled for instructions the CPU was asked about")]
                match level.level() {
                    // SAFETY: a `Chosen` level is one that this CPU has.
                    $crate::level::Level::Avx512 => return unsafe { avx512($($a),*) },
                    // SAFETY: as above.
                    $crate::level::Level::Avx2 => return unsafe { avx2($($a),*) },
                    $crate::level::Level::Portable => {}
                }
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = level;
            body($($a),*)
        }
    };
}
pub(crate) use simd;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_the_cpu_lacks_is_refused_by_name() {
        let widest = Level::detected();
        if widest == Level::Avx512 {
            return;
        }
        let error = pin(Level::Avx512).unwrap_err();
        assert_eq!(error, LevelError { asked: Level::Avx512, widest });
        assert!(error.to_string().contains("avx512"));
    }

    #[test]
    fn the_current_level_is_one_the_cpu_has() {
        assert!(current() <= Level::detected());
        assert!(Chosen::all().contains(&Chosen::now()));
    }
}
