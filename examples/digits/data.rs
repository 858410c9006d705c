//! The handwritten digits, checked, split and scaled.

use crate::{shuffle::Rng, table::Table};
use anyhow::{Result, ensure};
use nablas::Scalar;
use std::path::Path;

/// Pixels of an image, 8 × 8.
pub(crate) const PIXELS: usize = 64;
/// Digits.
pub(crate) const CLASSES: usize = 10;
/// The largest pixel count.
const WHITE: f64 = 16.0;

/// Images and their classes.
pub(crate) struct Samples<T> {
    /// Row-major [samples, PIXELS], each pixel in [0, 1].
    pub(crate) images: Vec<T>,
    /// One an image.
    pub(crate) classes: Vec<u32>,
}

impl<T: Scalar> Samples<T> {
    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.classes.len()
    }

    fn push(&mut self, row: &[f64]) {
        self.images.extend(row[..PIXELS].iter().map(|&p| T::from_f64(p / WHITE)));
        self.classes.push(row[PIXELS] as u32);
    }

    /// Copies the samples with these indices into `batch`, whose buffers keep their capacity.
    pub(crate) fn gather(&self, indices: &[usize], batch: &mut Self) {
        batch.images.clear();
        batch.classes.clear();
        for &i in indices {
            batch.images.extend_from_slice(&self.images[i * PIXELS..][..PIXELS]);
            batch.classes.push(self.classes[i]);
        }
    }

    /// No samples, with room for `n`.
    pub(crate) fn with_capacity(n: usize) -> Self {
        Self { images: Vec::with_capacity(n * PIXELS), classes: Vec::with_capacity(n) }
    }
}

/// Reads the file and splits it, in an order that the seed fixes: four fifths to train on, one fifth to test on.
///
/// # Errors
/// What [`Table::read`] refuses; a header; another number of columns; a pixel count outside of 0–16; a class outside of
/// 0–9; fewer than ten rows.
pub(crate) fn load<T: Scalar>(path: &Path, seed: u64) -> Result<(Samples<T>, Samples<T>)> {
    let table = Table::read(path)?;
    let name = path.display();
    ensure!(
        table.header.is_none(),
        "{name}: the first row holds no number; expected rows of numbers, no header"
    );
    ensure!(
        table.columns == PIXELS + 1,
        "{name}: expected {} columns ({PIXELS} pixel counts, then the class), got {}",
        PIXELS + 1,
        table.columns
    );
    let mut rows: Vec<&[f64]> = table.rows().collect();
    for (i, row) in rows.iter().enumerate() {
        let i = i + 1;
        for (j, &pixel) in row[..PIXELS].iter().enumerate() {
            let j = j + 1;
            ensure!(
                (0.0..=WHITE).contains(&pixel),
                "{name}, row {i}, column {j}: expected 0–16, got {pixel}"
            );
        }
        let class = row[PIXELS];
        let digit = class.fract() == 0.0 && (0.0..CLASSES as f64).contains(&class);
        ensure!(digit, "{name}, row {i}: expected a class of 0–9, got {class}");
    }
    ensure!(rows.len() >= 10, "{name}: {} rows are too few to train and test on", rows.len());

    Rng::new(seed).shuffle(&mut rows);
    let (train_rows, test_rows) = rows.split_at(rows.len() * 4 / 5);
    let mut train = Samples::with_capacity(train_rows.len());
    let mut test = Samples::with_capacity(test_rows.len());
    train_rows.iter().for_each(|row| train.push(row));
    test_rows.iter().for_each(|row| test.push(row));
    Ok((train, test))
}
