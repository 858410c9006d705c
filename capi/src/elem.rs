//! The element types.

use crate::scratch::Plain;
use nablas::Scalar;

/// An element type of the C interface.
pub(crate) trait Elem: Scalar + Plain {
    /// The letter in the names of its functions.
    const LETTER: char;
}
impl Elem for f32 {
    const LETTER: char = 's';
}
impl Elem for f64 {
    const LETTER: char = 'd';
}
