//! AMX by inline assembly, as stable Rust has no intrinsics for it.
//!
//! Tile registers and their configuration belong to nobody across calls (System V ABI, "AMX"): whoever uses them sets
//! them up first, as is done here for each product, and gives them up after it, so that the system stops saving them.

use super::Step;
use crate::tile::Out;
use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::sync::OnceLock;

/// `arch_prctl`, its request for a part of the extended state, and the part that tiles live in.
const ARCH_PRCTL: usize = 158;
const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
const XFEATURE_XTILEDATA: usize = 18;

/// Whether this CPU has AMX with bf16 and AVX-512 with bf16, and Linux (5.16 or later) lets this process use them. The
/// process asks once.
pub(super) fn granted() -> bool {
    static GRANTED: OnceLock<bool> = OnceLock::new();
    *GRANTED.get_or_init(|| has() && permitted())
}

/// What the CPU says of itself: the features, and tiles of at least the size that [`CONFIG`] asks for.
fn has() -> bool {
    let highest = __cpuid_count(0, 0).eax;
    if highest < 0x1d || !std::is_x86_feature_detected!("avx512bf16") {
        return false;
    }
    let (features, palette) = (__cpuid_count(7, 0).edx, __cpuid_count(0x1d, 1));
    let bf16_and_tile = 1 << 22 | 1 << 24;
    let (row_bytes, tiles, rows) = (palette.ebx & 0xffff, palette.ebx >> 16, palette.ecx & 0xffff);
    features & bf16_and_tile == bf16_and_tile && row_bytes >= 64 && tiles >= 8 && rows >= 16
}

/// Asks the system for the tiles' state, for all threads of the process.
#[expect(unsafe_code, reason = "a system call that no library here makes")]
fn permitted() -> bool {
    let answer: isize;
    // SAFETY: this call of arch_prctl reads no memory; `syscall` overwrites rax, rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => answer,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer == 0
}

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Eight tiles of 16 rows of 64 bytes.
static CONFIG: Config = Config {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Sets this thread's tiles up.
///
/// # Safety
/// When AMX was [`granted`].
#[expect(unsafe_code, reason = "no intrinsics")]
pub(super) unsafe fn configure() {
    // SAFETY: the configuration is 64 readable bytes; no tile holds anything yet.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIG, options(nostack, readonly, preserves_flags)) }
}

/// Gives this thread's tiles up.
///
/// # Safety
/// When AMX was [`granted`].
#[expect(unsafe_code, reason = "no intrinsics")]
pub(super) unsafe fn release() {
    // SAFETY: what the tiles hold has been stored.
    unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) }
}

/// The steps of one block between a beginning and the stores: four tiles of sums, two of either operand.
macro_rules! steps {
    ($left:expr, $right:expr, $out:expr, $($begin:literal),*) => {
        asm!(
            $($begin,)*
            "2:",
            "tileloadd tmm6, [{right} + {line}]",
            "tileloadd tmm4, [{left} + {line}]",
            "tileloadd tmm7, [{right} + {line} + 1024]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm5, [{left} + {line} + 1024]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {left}, 2048",
            "add {right}, 2048",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{out} + {row}], tmm0",
            "tilestored [{out} + {row} + 64], tmm1",
            "tilestored [{below} + {row}], tmm2",
            "tilestored [{below} + {row} + 64], tmm3",
            left = inout(reg) $left.as_ptr() => _,
            right = inout(reg) $right.as_ptr() => _,
            steps = inout(reg) $left.len() => _,
            line = in(reg) 64usize,
            out = in(reg) $out.data,
            below = in(reg) $out.data.add(16 * $out.row),
            row = in(reg) $out.row * size_of::<f32>(),
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// One block of 32 rows and 32 columns.
///
/// # Safety
/// After [`configure`] on this thread; both panels have equally many steps, and the block lies in a live allocation
/// that nobody else reaches.
#[inline]
#[expect(unsafe_code, reason = "no intrinsics")]
pub(super) unsafe fn block(left: &[Step], right: &[Step], out: Out, add: bool) {
    debug_assert!(left.len() == right.len());
    // SAFETY: the loop reads `left.len()` steps of 2048 bytes from each panel, the block is the caller's promise, and
    // without a step there is nothing to load.
    unsafe {
        if left.is_empty() {
            if !add {
                (0..super::SIDE).for_each(|i| out.data.add(i * out.row).write_bytes(0, super::SIDE));
            }
        } else if add {
            steps!(
                left,
                right,
                out,
                "tileloadd tmm0, [{out} + {row}]",
                "tileloadd tmm1, [{out} + {row} + 64]",
                "tileloadd tmm2, [{below} + {row}]",
                "tileloadd tmm3, [{below} + {row} + 64]"
            );
        } else {
            steps!(left, right, out, "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3");
        }
    }
}
