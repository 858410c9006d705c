//! XLA's foreign function interface, as its C header has it (`xla/ffi/api/c_api.h`, which jaxlib ships): what a handler
//! reads.
//!
//! Structures begin with their size, and later versions add fields at the end; none of those here has changed since
//! version 0.1.

use std::{
    ffi::{CString, c_char, c_int, c_void},
    ptr, slice,
};

/// The versions 0.1 to 0.3 are known: XLA is answered with its own, if it is one of these.
const MINOR: std::ops::RangeInclusive<c_int> = 1..=3;

/// What every structure begins with.
#[repr(C)]
#[derive(Debug)]
struct Head {
    size: usize,
    extension: *mut Extension,
}

#[repr(C)]
#[derive(Debug)]
struct Extension {
    size: usize,
    kind: c_int,
    next: *mut Extension,
}

/// The kind of the extension that asks who the handler is.
const METADATA: c_int = 1;

#[repr(C)]
#[derive(Debug)]
struct MetadataExtension {
    base: Extension,
    metadata: *mut Metadata,
}

#[repr(C)]
#[derive(Debug)]
struct Metadata {
    size: usize,
    version: Version,
    traits: u32,
}

#[repr(C)]
#[derive(Debug)]
struct Version {
    head: Head,
    major: c_int,
    minor: c_int,
}

/// The functions that XLA has for handlers, as far as they are used.
#[repr(C)]
#[derive(Debug)]
struct Api {
    head: Head,
    version: Version,
    internal: *const c_void,
    create_error: unsafe extern "C" fn(*mut CreateError) -> *mut c_void,
}

#[repr(C)]
#[derive(Debug)]
struct CreateError {
    head: Head,
    message: *const c_char,
    code: c_int,
}

const INVALID_ARGUMENT: c_int = 3;

/// A list: arguments or results.
#[repr(C)]
#[derive(Debug)]
struct List {
    head: Head,
    count: i64,
    kinds: *const c_int,
    items: *const *const c_void,
}

/// The kind of an argument or result that is a buffer, the only one that there is.
const BUFFER: c_int = 1;

#[repr(C)]
#[derive(Debug)]
struct Attributes {
    head: Head,
    count: i64,
    kinds: *const c_int,
    names: *const *const Bytes,
    items: *const *const c_void,
}

const ARRAY: c_int = 1;
const STRING: c_int = 4;

#[repr(C)]
#[derive(Debug)]
struct Bytes {
    at: *const u8,
    len: usize,
}

#[repr(C)]
#[derive(Debug)]
struct Array {
    dtype: c_int,
    len: usize,
    data: *const c_void,
}

/// Element types.
const S64: c_int = 5;
pub(crate) const F32: c_int = 11;
pub(crate) const F64: c_int = 12;

/// A call.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Frame {
    head: Head,
    api: *const Api,
    context: *mut c_void,
    stage: c_int,
    arguments: List,
    results: List,
    attributes: Attributes,
}

/// A buffer of a call, dense and row-major.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Buffer {
    head: Head,
    pub(crate) dtype: c_int,
    pub(crate) data: *mut c_void,
    rank: i64,
    dims: *const i64,
}

/// An error of XLA's, or null.
pub(crate) type Answer = *mut c_void;

impl Buffer {
    /// The lengths of its axes.
    pub(crate) fn dims(&self) -> &[i64] {
        // SAFETY: XLA keeps as many as there are axes during the call; of none the address may be null.
        if self.rank <= 0 { &[] } else { unsafe { slice::from_raw_parts(self.dims, self.rank as usize) } }
    }
}

impl List {
    /// Buffer `i`, if there is one.
    fn buffer(&self, i: usize) -> Option<&Buffer> {
        if i as i64 >= self.count {
            return None;
        }
        // SAFETY: there are more than `i` items; XLA keeps them during the call.
        unsafe {
            if *self.kinds.add(i) == BUFFER { (*self.items.add(i)).cast::<Buffer>().as_ref() } else { None }
        }
    }
}

impl Frame {
    /// Answers a call that asks who the handler is; false if it does not.
    ///
    /// # Safety
    /// `frame` is a call frame of XLA's.
    pub(crate) unsafe fn introduce(frame: *mut Self) -> bool {
        // SAFETY: the caller's promise: extensions are a chain, and this kind has metadata to be written.
        unsafe {
            let mut extension = (*frame).head.extension;
            while !extension.is_null() {
                if (*extension).kind == METADATA {
                    let metadata = (*extension.cast::<MetadataExtension>()).metadata;
                    let minor = (*frame).api.as_ref().map_or(*MINOR.start(), |api| api.version.minor);
                    (*metadata).version.major = 0;
                    (*metadata).version.minor = minor.clamp(*MINOR.start(), *MINOR.end());
                    (*metadata).traits = 0;
                    return true;
                }
                extension = (*extension).next;
            }
        }
        false
    }

    /// Argument `i`.
    pub(crate) fn argument(&self, i: usize) -> Option<&Buffer> {
        self.arguments.buffer(i)
    }

    /// Result `i`.
    pub(crate) fn result(&self, i: usize) -> Option<&Buffer> {
        self.results.buffer(i)
    }

    /// How many results there are.
    pub(crate) fn results(&self) -> usize {
        self.results.count as usize
    }

    /// An attribute of a kind.
    fn attribute(&self, name: &str, kind: c_int) -> Option<*const c_void> {
        let all = &self.attributes;
        // SAFETY: there are `count` of each; XLA keeps them during the call.
        (0..all.count as usize).find_map(|i| unsafe {
            let found = &**all.names.add(i);
            let found = slice::from_raw_parts(found.at, found.len);
            (found == name.as_bytes() && *all.kinds.add(i) == kind).then(|| *all.items.add(i))
        })
    }

    /// An attribute that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        // SAFETY: an attribute of this kind is bytes, which XLA keeps during the call.
        let bytes = unsafe { &*self.attribute(name, STRING)?.cast::<Bytes>() };
        if bytes.len == 0 {
            return Some("");
        }
        // SAFETY: as above.
        std::str::from_utf8(unsafe { slice::from_raw_parts(bytes.at, bytes.len) }).ok()
    }

    /// An attribute that is an array of integers.
    pub(crate) fn integers(&self, name: &str) -> Option<&[i64]> {
        // SAFETY: an attribute of this kind is an array, which XLA keeps during the call.
        let array = unsafe { &*self.attribute(name, ARRAY)?.cast::<Array>() };
        // SAFETY: as above.
        (array.dtype == S64 && array.len > 0)
            .then(|| unsafe { slice::from_raw_parts(array.data.cast(), array.len) })
    }

    /// An error with these words.
    pub(crate) fn refuse(&self, words: &str) -> Answer {
        let message = CString::new(words.replace('\0', " ")).unwrap_or_default();
        let head = Head { size: size_of::<CreateError>(), extension: ptr::null_mut() };
        let mut create = CreateError { head, message: message.as_ptr(), code: INVALID_ARGUMENT };
        // XLA takes the size without what pads the structure.
        create.head.size = std::mem::offset_of!(CreateError, code) + size_of::<c_int>();
        // SAFETY: XLA's table lives as long as the process; it copies the message.
        unsafe { ((*self.api).create_error)(&raw mut create) }
    }
}
