//! The functions of `libgssapi_krb5.so.2` and of `libkrb5.so.3`, which it needs, and their types (RFC 2744).

use std::error::Error;
use std::ffi::{c_char, c_int, c_void};
use std::sync::OnceLock;
use std::{ptr, slice};

use super::KerberosError;

/// The dynamic library of MIT Kerberos.
const NAME: &str = "libgssapi_krb5.so.2";

/// A name, credentials, a context, or a thing of libkrb5: the library alone knows what is behind it.
pub(super) type Handle = *mut c_void;

/// Bytes of the caller or of the library.
#[repr(C)]
pub(super) struct Buffer {
    length: usize,
    value: *mut c_void,
}

impl Buffer {
    pub(super) fn empty() -> Buffer {
        Buffer { length: 0, value: ptr::null_mut() }
    }

    /// Bytes that the library only reads. They have to live until the end of the call.
    pub(super) fn of(bytes: &[u8]) -> Buffer {
        Buffer { length: bytes.len(), value: bytes.as_ptr().cast_mut().cast() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }
}

/// Copies bytes that the library has made, and gives them back.
pub(super) fn owned(library: &Library, mut buffer: Buffer) -> Vec<u8> {
    let bytes = match buffer.value.is_null() {
        true => Vec::new(),
        // SAFETY: the library has made so many bytes, which are valid until it gets them back below.
        false => unsafe { slice::from_raw_parts(buffer.value.cast::<u8>(), buffer.length) }.to_vec(),
    };
    let mut minor = 0;
    // SAFETY: the bytes are the library's or null, and are not used any more.
    unsafe { (library.release_buffer)(&mut minor, &mut buffer) };
    bytes
}

/// An object identifier, as the body of its DER encoding.
#[repr(C)]
pub(super) struct Oid {
    length: u32,
    elements: *mut c_void,
}

/// The library only reads it.
pub(super) fn oid(body: &'static [u8]) -> Oid {
    Oid { length: u32::try_from(body.len()).unwrap_or(0), elements: body.as_ptr().cast_mut().cast() }
}

#[repr(C)]
pub(super) struct OidSet {
    pub(super) count: usize,
    pub(super) elements: *mut Oid,
}

#[repr(C)]
pub(super) struct KeyValue {
    pub(super) key: *const c_char,
    pub(super) value: *const c_char,
}

#[repr(C)]
pub(super) struct KeyValueSet {
    pub(super) count: u32,
    pub(super) elements: *mut KeyValue,
}

/// Whether a call has failed: the upper half of the code has errors, the lower one information.
pub(super) fn is_failed(major: u32) -> bool {
    major >> 16 != 0
}

/// Whether the other side has to send something before the context is open.
pub(super) fn continue_needed(major: u32) -> bool {
    major & 1 != 0
}

/// Declares the functions of the library, and loads them all.
macro_rules! functions {
    ($($field:ident = $symbol:literal: fn($($argument:ty),* $(,)?) -> $result:ty;)*) => {
        /// The functions that are called here. They are never unloaded.
        pub(super) struct Library {
            $(pub(super) $field: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl Library {
            fn load() -> Result<Library, libloading::Error> {
                // SAFETY: the library is MIT's, whose initialisation has no conditions. The types of the functions are those of its headers.
                // The library stays loaded, so that they stay valid.
                unsafe {
                    let library = libloading::Library::new(NAME)?;
                    let loaded = Library { $($field: *library.get($symbol)?,)* };
                    std::mem::forget(library);
                    Ok(loaded)
                }
            }
        }
    };
}

functions! {
    import_name = b"gss_import_name\0": fn(*mut u32, *mut Buffer, *mut Oid, *mut Handle) -> u32;
    release_name = b"gss_release_name\0": fn(*mut u32, *mut Handle) -> u32;
    acquire_cred_from = b"gss_acquire_cred_from\0": fn(
        *mut u32, Handle, u32, *mut OidSet, c_int, *const KeyValueSet, *mut Handle, *mut *mut OidSet, *mut u32,
    ) -> u32;
    inquire_cred = b"gss_inquire_cred\0": fn(
        *mut u32, Handle, *mut Handle, *mut u32, *mut c_int, *mut *mut OidSet,
    ) -> u32;
    release_cred = b"gss_release_cred\0": fn(*mut u32, *mut Handle) -> u32;
    init_sec_context = b"gss_init_sec_context\0": fn(
        *mut u32, Handle, *mut Handle, Handle, *mut Oid, u32, u32, *mut c_void, *mut Buffer, *mut *mut Oid, *mut Buffer,
        *mut u32, *mut u32,
    ) -> u32;
    delete_sec_context = b"gss_delete_sec_context\0": fn(*mut u32, *mut Handle, *mut Buffer) -> u32;
    unwrap = b"gss_unwrap\0": fn(*mut u32, Handle, *mut Buffer, *mut Buffer, *mut c_int, *mut u32) -> u32;
    wrap = b"gss_wrap\0": fn(*mut u32, Handle, c_int, u32, *mut Buffer, *mut c_int, *mut Buffer) -> u32;
    release_buffer = b"gss_release_buffer\0": fn(*mut u32, *mut Buffer) -> u32;
    display_status = b"gss_display_status\0": fn(*mut u32, u32, c_int, *mut Oid, *mut u32, *mut Buffer) -> u32;
    init_context = b"krb5_init_context\0": fn(*mut Handle) -> i32;
    free_context = b"krb5_free_context\0": fn(Handle) -> ();
    resolve_cache = b"krb5_cc_resolve\0": fn(Handle, *const c_char, *mut Handle) -> i32;
    destroy_cache = b"krb5_cc_destroy\0": fn(Handle, Handle) -> i32;
}

impl Library {
    /// Returns the library, which is loaded once.
    pub(super) fn get() -> Result<&'static Library, KerberosError> {
        static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
        let loaded = LIBRARY.get_or_init(|| {
            // The source of the error names the file.
            Library::load().map_err(|error| error.source().map_or(error.to_string(), ToString::to_string))
        });
        loaded.as_ref().map_err(|reason| KerberosError::Library(reason.clone()))
    }
}
