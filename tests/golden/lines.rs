//! The committed lines: a case's words, an output, a hash of its bytes, and the bits of its first element.

use crate::cases::Case;
use core::fmt;
use nablas::Scalar;
use std::{collections::BTreeMap, fs};

/// Absolute: tests run in any directory.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/lines.txt");

const HEAD: &str = "\
# The bits of the steps of tests/golden.rs, which says how this file is written. By lines: path, type, widths, activations
# of the hidden layers and of the last, batch, loss, whether dX is asked for; output; FNV-1a of its little-endian bytes;
# bits of its first element.
";

/// An element as bytes.
pub(crate) trait Element: Scalar {
    type Bytes: IntoIterator<Item = u8>;
    /// The bit pattern, the least significant byte first on every machine.
    fn bytes(self) -> Self::Bytes;
}

impl Element for f32 {
    type Bytes = [u8; 4];
    fn bytes(self) -> [u8; 4] {
        self.to_le_bytes()
    }
}

impl Element for f64 {
    type Bytes = [u8; 8];
    fn bytes(self) -> [u8; 8] {
        self.to_le_bytes()
    }
}

/// FNV-1a, 64 bits.
fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, byte| (h ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// One output of one case.
pub(crate) struct Line {
    /// Case and output.
    key: String,
    /// Hash and first element.
    bits: String,
}

impl Line {
    pub(crate) fn new<T: Element>(case: &Case, output: &str, values: &[T]) -> Self {
        let hash = hash(values.iter().flat_map(|x| x.bytes()));
        let digits = 2 * size_of::<T>();
        Self { key: format!("{case}; {output}"), bits: format!("{hash:016x} {:0digits$x}", values[0].bits()) }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.key, self.bits)
    }
}

/// The first element whose bits differ.
pub(crate) fn difference<T: Scalar>(a: &[T], b: &[T]) -> Option<usize> {
    assert_eq!(a.len(), b.len());
    (0..a.len()).find(|i| a[*i].bits() != b[*i].bits())
}

/// Writes the file.
pub(crate) fn write(lines: &[Line]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(FILE, format!("{HEAD}{text}")).expect("the file can be written");
    println!("{} lines written to {FILE}", lines.len());
}

/// What differs from the file: lines of other bits, and such as one side alone has; of the file, if `all` of it was
/// to be found.
pub(crate) fn compare(found: &[Line], all: bool) -> Vec<String> {
    let text = fs::read_to_string(FILE).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut committed: BTreeMap<_, _> = lines.filter_map(|line| line.rsplit_once("; ")).collect();
    let mut wrong = Vec::new();
    for line in found {
        match committed.remove(line.key.as_str()) {
            Some(bits) if bits == line.bits => {}
            Some(bits) => wrong.push(format!("{}: {} instead of {bits}", line.key, line.bits)),
            None => wrong.push(format!("{}: not in {FILE}", line.key)),
        }
    }
    if all {
        wrong.extend(committed.keys().map(|key| format!("{key}: in {FILE}, and no case")));
    }
    wrong
}
