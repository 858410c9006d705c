//! Curves as CSV files; `tools/record.py docs` draws them.

use csv::Writer;
use std::{error::Error, fs, path::Path};

/// One point of a curve.
pub(crate) struct Point {
    pub(crate) network: String,
    pub(crate) path: &'static str,
    pub(crate) threads: usize,
    /// What grows: batch, width or depth.
    pub(crate) x: usize,
    pub(crate) batch: usize,
    /// Seconds a step, the best sample.
    pub(crate) seconds: f64,
    /// Seconds that its products take at the FMA peak of as many threads.
    pub(crate) peak_seconds: f64,
    pub(crate) workspace: usize,
    /// Of a plan that keeps the whole batch's state between forward and backward.
    pub(crate) keeping: usize,
}

/// Writes `growth-CURVE.csv` to a folder, from the root of the repository.
pub(crate) fn write(folder: &Path, curve: &str, points: &[Point]) -> Result<(), Box<dyn Error>> {
    // Benchmarks run in the folder of their package.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    fs::create_dir_all(&folder)?;
    let mut csv = Writer::from_path(folder.join(format!("growth-{curve}.csv")))?;
    csv.write_record([
        curve,
        "network",
        "path",
        "threads",
        "batch",
        "seconds",
        "ns_per_sample",
        "fma_share",
        "workspace_bytes",
        "keeping_bytes",
    ])?;
    for p in points {
        let (ns, share) = (1e9 * p.seconds / p.batch as f64, p.peak_seconds / p.seconds);
        let [x, threads, batch] = [p.x, p.threads, p.batch].map(|n| n.to_string());
        let [workspace, keeping] = [p.workspace, p.keeping].map(|n| n.to_string());
        let (seconds, ns, share) = (format!("{:.4e}", p.seconds), format!("{ns:.2}"), format!("{share:.4}"));
        csv.write_record([
            &x, &p.network, p.path, &threads, &batch, &seconds, &ns, &share, &workspace, &keeping,
        ])?;
    }
    Ok(csv.flush()?)
}
