//! Credentials and security contexts of the Kerberos library, which is loaded when it is needed.
//!
//! Sources: RFC 2743, RFC 2744 (the interface), and MIT Kerberos (`gss_acquire_cred_from` with its keys `ccache` and
//! `client_keytab`, caches of type `MEMORY`).

#![allow(unsafe_code, reason = "the Kerberos library has an interface of C")]

mod library;

use std::ffi::{CStr, CString};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;

use library::{
    Buffer, Handle, KeyValue, KeyValueSet, Library, OidSet, continue_needed, is_failed, oid, owned,
};

/// The mechanism Kerberos 5: 1.2.840.113554.1.2.2 (RFC 4121).
static KERBEROS: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02];

/// Names of principals: 1.2.840.113554.1.2.2.1 (RFC 1964, section 2.1.1).
static PRINCIPAL_NAME: [u8; 10] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02, 0x01];

/// Names of services as `service@host`: 1.2.840.113554.1.2.1.4 (RFC 2743, section 4.1).
static SERVICE_NAME: [u8; 10] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x01, 0x04];

/// The flags of a context: both sides prove who they are, messages have numbers and checksums.
const MUTUAL: u32 = 2;
const REPLAY: u32 = 4;
const SEQUENCE: u32 = 8;
const INTEGRITY: u32 = 32;

/// Credentials that open contexts.
const INITIATE: i32 = 1;

/// The kinds of codes that have texts.
const MAJOR: i32 = 1;
const MINOR: i32 = 2;

/// The most texts that one code has.
const TEXTS_MAX: usize = 8;

/// Why Kerberos does not do what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KerberosError {
    /// The library is not installed, or is not of MIT Kerberos 1.11 or newer.
    #[error("{0}")]
    Library(String),
    /// The library reports an error.
    #[error("{text}")]
    Code {
        /// The code of Kerberos, from the tables of MIT Kerberos; 0 if only the GSSAPI has one.
        code: i32,
        /// What the library says about its codes.
        text: String,
    },
    /// The other side breaks the protocol, or a name can't be handed over.
    #[error("{0}")]
    Protocol(String),
}

impl KerberosError {
    /// The code of Kerberos, from the tables of MIT Kerberos; 0 if there is none.
    pub fn code(&self) -> i32 {
        match self {
            KerberosError::Code { code, .. } => *code,
            KerberosError::Library(_) | KerberosError::Protocol(_) => 0,
        }
    }
}

/// Makes an error of the codes of a call.
fn check(library: &Library, major: u32, minor: u32) -> Result<(), KerberosError> {
    if !is_failed(major) {
        return Ok(());
    }
    let mut texts = texts(library, major, MAJOR);
    if minor != 0 {
        texts.extend(self::texts(library, minor, MINOR));
    }
    Err(KerberosError::Code { code: minor.cast_signed(), text: texts.join(": ") })
}

fn texts(library: &Library, code: u32, kind: i32) -> Vec<String> {
    let mut mechanism = oid(&KERBEROS);
    let (mut texts, mut context) = (Vec::new(), 0);
    while texts.len() < TEXTS_MAX {
        let (mut minor, mut text) = (0, Buffer::empty());
        // SAFETY: all pointers are to variables of this function, and the library copies what it needs.
        let major = unsafe {
            (library.display_status)(&mut minor, code, kind, &mut mechanism, &mut context, &mut text)
        };
        if is_failed(major) {
            break;
        }
        texts.push(String::from_utf8_lossy(&owned(library, text)).into_owned());
        if context == 0 {
            break;
        }
    }
    texts.retain(|text| !text.is_empty());
    texts
}

/// A name in the form of the library.
struct Name {
    library: &'static Library,
    handle: Handle,
}

impl Name {
    fn import(text: &str, kind: &'static [u8]) -> Result<Name, KerberosError> {
        let library = Library::get()?;
        let (mut minor, mut handle) = (0, ptr::null_mut());
        let (mut text, mut kind) = (Buffer::of(text.as_bytes()), oid(kind));
        // SAFETY: all pointers are to variables of this function, and the library copies the text.
        let major = unsafe { (library.import_name)(&mut minor, &mut text, &mut kind, &mut handle) };
        check(library, major, minor)?;
        Ok(Name { library, handle })
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: the name is one of this library, and nobody has it any more.
        unsafe { (self.library.release_name)(&mut minor, &mut self.handle) };
    }
}

/// The handle of credentials.
struct Acquired {
    library: &'static Library,
    handle: Handle,
}

// SAFETY: the library locks credentials that several threads use.
unsafe impl Send for Acquired {}
// SAFETY: as above.
unsafe impl Sync for Acquired {}

impl Acquired {
    /// Gets credentials of a principal from a cache, to which tickets are added with the keytab if there is one.
    fn from(principal: &str, cache: &CStr, keytab: Option<&CStr>) -> Result<Acquired, KerberosError> {
        let library = Library::get()?;
        let name = Name::import(principal, &PRINCIPAL_NAME)?;
        let mut pairs = vec![KeyValue { key: c"ccache".as_ptr(), value: cache.as_ptr() }];
        pairs.extend(keytab.map(|path| KeyValue { key: c"client_keytab".as_ptr(), value: path.as_ptr() }));
        let count = u32::from(keytab.is_some()) + 1;
        let store = KeyValueSet { count, elements: pairs.as_mut_ptr() };
        let mut mechanism = oid(&KERBEROS);
        let mut mechanisms = OidSet { count: 1, elements: &mut mechanism };
        let (mut minor, mut handle) = (0, ptr::null_mut());
        // SAFETY: all pointers are to variables of this function that live until the end of the call; the library copies them. The texts
        // end with a NUL. It takes null for results that are not wanted.
        let major = unsafe {
            (library.acquire_cred_from)(
                &mut minor,
                name.handle,
                u32::MAX,
                &mut mechanisms,
                INITIATE,
                &store,
                &mut handle,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        check(library, major, minor)?;
        Ok(Acquired { library, handle })
    }

    /// How long the ticket is valid. Gets one with the keytab if there is none.
    fn lifetime(&self) -> Result<Duration, KerberosError> {
        let (mut minor, mut seconds) = (0, 0);
        // SAFETY: the credentials are those of this library, and it takes null for results that are not wanted.
        let major = unsafe {
            (self.library.inquire_cred)(
                &mut minor,
                self.handle,
                ptr::null_mut(),
                &mut seconds,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        check(self.library, major, minor)?;
        Ok(Duration::from_secs(seconds.into()))
    }
}

impl Drop for Acquired {
    fn drop(&mut self) {
        let mut minor = 0;
        // SAFETY: the credentials are those of this library, and nobody has them any more.
        unsafe { (self.library.release_cred)(&mut minor, &mut self.handle) };
    }
}

/// A cache of tickets in memory, which ends with this value.
struct Cache {
    library: &'static Library,
    name: CString,
}

impl Cache {
    fn make() -> Result<Cache, KerberosError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let library = Library::get()?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = CString::new(format!("MEMORY:weir-kafka-{number}")).unwrap_or_default();
        Ok(Cache { library, name })
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let (mut context, mut cache) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: a cache is destroyed with the context that has resolved it, which is freed afterwards, once. The text ends with a NUL.
        unsafe {
            if (self.library.init_context)(&mut context) != 0 {
                return;
            }
            if (self.library.resolve_cache)(context, self.name.as_ptr(), &mut cache) == 0 {
                (self.library.destroy_cache)(context, cache);
            }
            (self.library.free_context)(context);
        }
    }
}

/// The ticket of a principal, and the tickets for services that were got with it.
pub(crate) struct Credentials {
    // Released before the cache.
    acquired: Acquired,
    _cache: Cache,
}

impl Credentials {
    /// Gets a ticket with a keytab. Returns also how long it is valid. Blocks while the Kerberos server does not answer.
    ///
    /// # Errors
    /// When there is no ticket.
    pub(crate) fn obtain(principal: &str, keytab: &str) -> Result<(Credentials, Duration), KerberosError> {
        let with_nul = |_| KerberosError::Protocol("the path of the keytab has a NUL".to_owned());
        let keytab = CString::new(format!("FILE:{keytab}")).map_err(with_nul)?;
        let cache = Cache::make()?;
        let lifetime = Acquired::from(principal, &cache.name, Some(&keytab))?.lifetime()?;
        // With a keytab, the library would replace the tickets of the cache while other threads use it.
        let acquired = Acquired::from(principal, &cache.name, None)?;
        Ok((Credentials { acquired, _cache: cache }, lifetime))
    }
}

/// One step in the opening of a context.
pub(crate) struct Opened {
    /// What the other side gets; may be empty.
    pub(crate) token: Vec<u8>,
    /// Whether the context is open on this side.
    pub(crate) is_open: bool,
}

/// What both sides agree upon once each has proved who it is.
pub(crate) struct Context {
    library: &'static Library,
    target: Name,
    handle: Handle,
}

impl Context {
    /// Makes a context for a service, which is not open yet.
    ///
    /// # Errors
    /// When the library does not take the name.
    pub(crate) fn new(service: &str, host: &str) -> Result<Context, KerberosError> {
        let target = Name::import(&format!("{service}@{host}"), &SERVICE_NAME)?;
        Ok(Context { library: target.library, target, handle: ptr::null_mut() })
    }

    /// Makes the next step. `input` is what the other side has sent; empty for the first step. Blocks while the Kerberos server does not
    /// answer.
    ///
    /// # Errors
    /// When there is no ticket for the service, or the other side has not proved who it is.
    pub(crate) fn open(&mut self, credentials: &Credentials, input: &[u8]) -> Result<Opened, KerberosError> {
        let wanted = MUTUAL | REPLAY | SEQUENCE | INTEGRITY;
        let (mut minor, mut flags, mut output) = (0, 0, Buffer::empty());
        let (mut mechanism, mut input) = (oid(&KERBEROS), Buffer::of(input));
        // SAFETY: name, credentials and context are those of this library, and live until the end of the call. The other pointers are to
        // variables of this function. The library takes null for results that are not wanted, and for the input of the first step.
        let major = unsafe {
            (self.library.init_sec_context)(
                &mut minor,
                credentials.acquired.handle,
                &mut self.handle,
                self.target.handle,
                &mut mechanism,
                wanted,
                0,
                ptr::null_mut(),
                if input.is_empty() { ptr::null_mut() } else { &mut input },
                ptr::null_mut(),
                &mut output,
                &mut flags,
                ptr::null_mut(),
            )
        };
        let token = owned(self.library, output);
        check(self.library, major, minor)?;
        let is_open = !continue_needed(major);
        if is_open && flags & MUTUAL == 0 {
            return Err(KerberosError::Protocol("the broker has not proved who it is".to_owned()));
        }
        if is_open && flags & INTEGRITY == 0 {
            return Err(KerberosError::Protocol("the tickets allow no checksums".to_owned()));
        }
        Ok(Opened { token, is_open })
    }

    /// Checks a message of the other side, and returns its content.
    ///
    /// # Errors
    /// When it is not from the other side, or is not the next one.
    pub(crate) fn unwrap(&mut self, message: &[u8]) -> Result<Vec<u8>, KerberosError> {
        let (mut minor, mut output, mut input) = (0, Buffer::empty(), Buffer::of(message));
        // SAFETY: the context is open, and the pointers are to variables of this function or null for results that are not wanted.
        let major = unsafe {
            (self.library.unwrap)(
                &mut minor,
                self.handle,
                &mut input,
                &mut output,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        let content = owned(self.library, output);
        check(self.library, major, minor)?;
        Ok(content)
    }

    /// Makes a message with a checksum, which is not encrypted.
    ///
    /// # Errors
    /// When the context has expired.
    pub(crate) fn wrap(&mut self, content: &[u8]) -> Result<Vec<u8>, KerberosError> {
        let (mut minor, mut output, mut input) = (0, Buffer::empty(), Buffer::of(content));
        // SAFETY: as in `unwrap`.
        let major = unsafe {
            (self.library.wrap)(&mut minor, self.handle, 0, 0, &mut input, ptr::null_mut(), &mut output)
        };
        let message = owned(self.library, output);
        check(self.library, major, minor)?;
        Ok(message)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let (mut minor, none): (u32, *mut Buffer) = (0, ptr::null_mut());
        // SAFETY: the context is null or one of this library, and nobody has it any more.
        unsafe { (self.library.delete_sec_context)(&mut minor, &mut self.handle, none) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_keytab_is_an_error_and_no_panic() {
        let made = Credentials::obtain("weir@NOWHERE.TEST", "/nowhere/weir.keytab");
        let error = made.err().expect("there is no keytab");
        // KRB5_FCC_NOFILE: there is neither a key nor a ticket.
        assert_eq!(error.code(), -1_765_328_189, "{error}");
        assert!(error.to_string().contains("No credentials"), "{error}");
    }
}
