//! A table of numbers from a CSV file, plain or gzipped, with errors that name the line and column.

use anyhow::{Context, Result, bail, ensure};
use std::{fs, io::Read, path::Path};

/// Rows of equally many finite numbers.
pub(crate) struct Table {
    /// The first row, where none of its fields is a number: the columns' names.
    pub(crate) header: Option<Vec<String>>,
    /// Columns of every row.
    pub(crate) columns: usize,
    values: Vec<f64>,
}

impl Table {
    /// Reads a file: gzipped if it starts like gzip, CSV otherwise.
    ///
    /// # Errors
    /// A file that cannot be read or unpacked, rows of different lengths, a field that is not a finite number,
    /// no rows.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let name = path.display();
        let bytes = fs::read(path).with_context(|| format!("cannot read {name}"))?;
        Self::of(&bytes).with_context(|| format!("{name} is not a CSV file (plain or gzipped) of numbers"))
    }

    /// What a file with these bytes holds.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn of(bytes: &[u8]) -> Result<Self> {
        if !bytes.starts_with(&[0x1f, 0x8b]) {
            return Self::parse(bytes);
        }
        let mut text = Vec::new();
        let mut gz = flate2::read::MultiGzDecoder::new(bytes);
        gz.read_to_end(&mut text).context("it starts like gzip but cannot be unpacked")?;
        Self::parse(&text)
    }

    /// The rows.
    pub(crate) fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        self.values.chunks_exact(self.columns)
    }

    fn parse(text: &[u8]) -> Result<Self> {
        let mut table = Self { header: None, columns: 0, values: Vec::new() };
        let mut reader = csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(text);
        for record in reader.records() {
            // The reader's own errors name the line.
            let record = record?;
            let line = record.position().map_or(0, csv::Position::line);
            if table.columns == 0 {
                table.columns = record.len();
                let numeric = record.iter().any(|field| field.parse::<f64>().is_ok());
                if !numeric {
                    table.header = Some(record.iter().map(str::to_owned).collect());
                    continue;
                }
            }
            for (i, field) in record.iter().enumerate() {
                let value: f64 = match field.parse() {
                    Ok(value) => value,
                    Err(_) => bail!("line {line}, column {}: {field:?} is not a number", i + 1),
                };
                ensure!(value.is_finite(), "line {line}, column {}: {field} is not finite", i + 1);
                table.values.push(value);
            }
        }
        ensure!(!table.values.is_empty(), "it has no rows");
        Ok(table)
    }
}
