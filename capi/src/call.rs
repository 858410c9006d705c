//! What surrounds every call: the panic stops here, the failure is remembered, `NABLAS_VERBOSE` is told.

use crate::{
    elem::Elem,
    fork,
    status::{Result, nablas_status as Status, remember},
};
use nablas::IsaToken;
use std::{
    fmt::{self, Write as _},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU8, Ordering},
    time::Instant,
};

/// What `NABLAS_VERBOSE` shows of a call.
#[derive(Debug)]
pub(crate) struct Record {
    letter: char,
    operation: &'static str,
    sizes: [usize; 3],
    isa: &'static str,
    path: &'static str,
    threads: usize,
    /// Whether anybody reads it.
    shown: bool,
}

impl Record {
    /// Says what the call runs on, and how many threads it may bring.
    pub(crate) fn on(&mut self, isa: IsaToken, path: &'static str, threads: impl FnOnce() -> usize) {
        if self.shown {
            (self.isa, self.path, self.threads) = (isa.name(), path, threads());
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [m, n, k] = self.sizes;
        write!(f, "nablas,{}{},{m}x{n}x{k},", self.letter, self.operation)?;
        write!(f, "{},{},{}", self.isa, self.path, self.threads)
    }
}

/// Whether `NABLAS_VERBOSE` asks for a line a call; read once.
fn verbose() -> bool {
    // No lock, which a fork could leave locked: threads that ask at once find the same.
    static VERBOSE: AtomicU8 = AtomicU8::new(0);
    let known = VERBOSE.load(Ordering::Relaxed);
    if known != 0 {
        return known == 2;
    }
    let asked = std::env::var_os("NABLAS_VERBOSE").is_some_and(|v| !v.is_empty() && v != "0");
    VERBOSE.store(1 + u8::from(asked), Ordering::Relaxed);
    asked
}

/// A call of an operation of these sizes.
pub(crate) fn call<T: Elem>(
    operation: &'static str,
    sizes: [usize; 3],
    work: impl FnOnce(&mut Record) -> Result<()>,
) -> Status {
    let shown = verbose();
    let mut record = Record { letter: T::LETTER, operation, sizes, isa: "-", path: "-", threads: 0, shown };
    if !shown {
        return guard(|| work(&mut record));
    }
    let start = Instant::now();
    let status = guard(|| work(&mut record));
    let time = start.elapsed().as_secs_f64() * 1e6;
    let mut line = String::new();
    _ = writeln!(line, "{record},{time:.3},{}", status.name().to_string_lossy());
    say(&line);
    status
}

/// Writes to standard error: at once, so that the lines of several threads do not mix, and without the lock of Rust's
/// standard error, which a fork may leave locked. That it cannot be written to is no failure of the call.
pub(crate) fn say(line: &str) {
    #[cfg(unix)]
    // SAFETY: the bytes are readable.
    unsafe {
        libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len());
    }
    #[cfg(not(unix))]
    {
        use std::io::Write as _;
        _ = std::io::stderr().write_all(line.as_bytes());
    }
}

/// The status of some work, whose failure or panic is remembered.
pub(crate) fn guard(work: impl FnOnce() -> Result<()>) -> Status {
    fork::watch();
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => Status::Ok,
        Ok(Err(fail)) => {
            remember(fail.text);
            fail.status
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            remember(format!("a defect of nablas: {text}"));
            Status::Internal
        }
    }
}
