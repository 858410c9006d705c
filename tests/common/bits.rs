//! Equality to the bit.

use nablas::Scalar;

/// Fails at the first element whose bits differ.
#[track_caller]
pub(crate) fn assert_bits<T: Scalar>(got: &[T], expected: &[T], what: impl FnOnce() -> String) {
    assert_eq!(got.len(), expected.len());
    if let Some(i) = (0..got.len()).find(|i| got[*i].bits() != expected[*i].bits()) {
        panic!("{}: element {i} is {:?} instead of {:?}", what(), got[i], expected[i]);
    }
}
