//! Measurements as rows of a record: benches/record/README.md says what is in one.
//!
//! With `NABLAS_RECORD=DIRECTORY` (from the root of the repository) a benchmark writes to
//! DIRECTORY/MACHINE/DATE-COMMIT.csv; rows of the same workload, kind and contender that are there are replaced.

use super::measure::{Timing, quick};
use csv::{Reader, StringRecord, Writer};
use std::{
    env, fs,
    path::Path,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

/// The columns, those that tell rows apart first.
const COLUMNS: [&str; 15] = [
    "source",
    "workload",
    "dims",
    "batch",
    "activation",
    "dtype",
    "isa",
    "threads",
    "pace",
    "contender",
    "version",
    "min_us",
    "median_us",
    "gflops",
    "peak_gflops",
];
/// Up to the contender.
const KEYS: usize = 10;

/// What is measured, of whomever.
pub(crate) struct Case<'a> {
    /// The benchmark.
    pub(crate) source: &'a str,
    pub(crate) workload: &'a str,
    /// Feature counts of a network; m, n and k of a product.
    pub(crate) dims: &'a [usize],
    pub(crate) batch: usize,
    /// Empty for a product.
    pub(crate) activation: &'a str,
    pub(crate) dtype: &'a str,
    pub(crate) isa: &'a str,
    pub(crate) threads: usize,
    pub(crate) flop: u64,
    /// FLOP/s.
    pub(crate) peak: f64,
}

impl Case<'_> {
    /// Notes how long a contender of this version took in a loop, if records are wanted. nablas' is the commit.
    pub(crate) fn note(&self, contender: &str, version: &str, timing: Option<Timing>) {
        let (Some(folder), Some(timing), false) = (env::var_os("NABLAS_RECORD"), timing, quick()) else {
            return;
        };
        let dims = self.dims.iter().map(usize::to_string).collect::<Vec<_>>().join("-");
        let (batch, threads) = (self.batch.to_string(), self.threads.to_string());
        let version = if contender.starts_with("nablas") { commit() } else { version.to_owned() };
        let numbers =
            [1e6 * timing.min, 1e6 * timing.median, self.flop as f64 / timing.min / 1e9, self.peak / 1e9];
        let [min, median, rate, peak] = numbers.map(|x| format!("{x:.3}"));
        let row: [&str; COLUMNS.len()] = [
            self.source,
            self.workload,
            &dims,
            &batch,
            self.activation,
            self.dtype,
            self.isa,
            &threads,
            "hot",
            contender,
            &version,
            &min,
            &median,
            &rate,
            &peak,
        ];
        let folder = root().join(folder).join(machine());
        let file = folder.join(format!("{}-{}.csv", today(), commit()));
        put(&file, &StringRecord::from(&row[..])).expect("NABLAS_RECORD names a directory to write to");
    }
}

/// The root of the repository, from whatever package this is a part of.
fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().find(|folder| folder.join("benches/record").is_dir()).unwrap_or(package)
}

/// Adds a row, in place of one of the same key.
fn put(file: &Path, row: &StringRecord) -> Result<(), csv::Error> {
    let mut rows: Vec<StringRecord> = Vec::new();
    if file.exists() {
        rows = Reader::from_path(file)?.into_records().collect::<Result<_, _>>()?;
    }
    let key = |row: &StringRecord| row.iter().take(KEYS).map(str::to_owned).collect::<Vec<_>>();
    match rows.iter_mut().find(|old| key(old) == key(row)) {
        Some(old) => old.clone_from(row),
        None => rows.push(row.clone()),
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut out = Writer::from_path(file)?;
    out.write_record(COLUMNS)?;
    rows.iter().try_for_each(|row| out.write_record(row))?;
    Ok(out.flush()?)
}

/// What is measured: the commit, with `-dirty` where files differ from it.
fn commit() -> String {
    let described = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=7", "--exclude=*"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let known =
        described.ok().filter(|out| out.status.success()).and_then(|out| String::from_utf8(out.stdout).ok());
    known.map_or_else(|| "unknown".into(), |name| name.trim().into())
}

/// UTC, as YYYY-MM-DD.
fn today() -> String {
    let days = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs() / 86_400);
    // Howard Hinnant's civil_from_days: eras of 400 years, and years that begin in March.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (date, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    format!("{:04}-{month:02}-{date:02}", era * 400 + year + u64::from(month <= 2))
}

/// The processor's line and generation, `epyc-zen4`, or what it calls itself.
fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let of = |field: &str| {
        let lines = cpu.lines().filter_map(|line| line.split_once(':'));
        lines
            .map(|(name, value)| (name.trim(), value.trim()))
            .find(|(name, _)| *name == field)
            .map(|(_, v)| v)
    };
    let model_name = of("model name").unwrap_or(env::consts::ARCH);
    let number = |field| of(field).and_then(|n| n.parse().ok()).unwrap_or(0u32);
    let generation = match (of("vendor_id").unwrap_or_default(), number("cpu family"), number("model")) {
        ("GenuineIntel", 6, 85) => "skylake-or-cascade-lake",
        ("GenuineIntel", 6, 106 | 108) => "ice-lake",
        ("GenuineIntel", 6, 143) => "sapphire-rapids",
        ("GenuineIntel", 6, 207) => "emerald-rapids",
        ("GenuineIntel", 6, 173 | 174) => "granite-rapids",
        ("AuthenticAMD", 25, 0..=15 | 32..=95) => "zen3",
        ("AuthenticAMD", 25, _) => "zen4",
        ("AuthenticAMD", 26, _) => "zen5",
        _ => return slug(model_name),
    };
    let lines = ["Xeon", "EPYC", "Ryzen", "Core"];
    let line = lines.into_iter().find(|line| model_name.contains(line)).unwrap_or("cpu");
    slug(&format!("{line}-{generation}"))
}

/// Lower case, with hyphens between words.
fn slug(name: &str) -> String {
    let plain = name.to_lowercase().replace("(r)", " ").replace("(tm)", " ");
    let words = plain.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}
