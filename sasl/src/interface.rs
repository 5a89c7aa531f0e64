//! The functions that librdkafka calls, with the interface of Cyrus SASL (`include/sasl/sasl.h`).
//!
//! librdkafka calls the functions for one connection by one thread, and locks the client meanwhile.

#![allow(unsafe_code, reason = "C calls these functions")]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulong, c_void};
use std::{ptr, slice};

use crate::session::{Session, Step};
use crate::tickets::Tickets;

const CONTINUE: c_int = 1;
const OK: c_int = 0;
const FAIL: c_int = -1;
const NOT_DONE: c_int = -6;
const BAD_PARAMETER: c_int = -7;

/// The end of a list of callbacks.
const LIST_END: c_ulong = 0;

/// The callback that returns the user name.
const USER_NAME: c_ulong = 0x4002;

/// The only mechanism.
const MECHANISM: &CStr = c"GSSAPI";

/// A callback; its type depends on its number.
#[repr(C)]
struct Callback {
    id: c_ulong,
    function: Option<unsafe extern "C" fn() -> c_int>,
    context: *mut c_void,
}

/// The type of the callback for the user name: context, number, result, length of the result.
type ReturnsText = unsafe extern "C" fn(*mut c_void, c_int, *mut *const c_char, *mut c_uint) -> c_int;

/// A connection to a broker.
struct Connection {
    service: String,
    host: String,
    user: Option<(ReturnsText, *mut c_void)>,
    session: Option<Session>,
    /// What the last step has returned, which has to stay valid until the next one.
    output: Vec<u8>,
    /// Why the last step has failed.
    detail: CString,
}

impl Connection {
    fn start(&mut self) -> Result<Step, String> {
        let tickets = self.user_name().as_deref().and_then(Tickets::of_user);
        let tickets = tickets.ok_or("the client has no principal and no keytab")?;
        let started = Session::start(&tickets, &self.service, &self.host);
        let (session, step) = started.map_err(|failure| failure.to_string())?;
        self.session = Some(session);
        Ok(step)
    }

    fn user_name(&self) -> Option<String> {
        let (function, context) = self.user?;
        let mut name = ptr::null();
        // SAFETY: the callback was given with this context, both of which are valid as long as the connection. Its text ends with a NUL,
        // and is copied before librdkafka unlocks the client.
        unsafe {
            let code = function(context, USER_NAME as c_int, &mut name, ptr::null_mut());
            (code == OK).then(|| text(name)).flatten()
        }
    }

    /// Keeps the result of a step, and returns the code for it.
    fn keep(&mut self, step: Result<Step, String>) -> c_int {
        match step {
            Ok(Step { output, is_last }) => {
                self.output = output;
                if is_last { OK } else { CONTINUE }
            }
            Err(reason) => {
                self.detail = CString::new(reason.replace('\0', " ")).unwrap_or_default();
                FAIL
            }
        }
    }
}

/// Copies a text of C.
///
/// # Safety
/// The pointer is null or to a text that ends with a NUL.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    // SAFETY: by the contract of this function.
    (!pointer.is_null()).then(|| unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned())
}

/// Finds the callback for the user name.
///
/// # Safety
/// The pointer is null or to a list of callbacks with its end.
unsafe fn user_callback(mut callback: *const Callback) -> Option<(ReturnsText, *mut c_void)> {
    if callback.is_null() {
        return None;
    }
    // SAFETY: by the contract of this function; the callback with this number has this type.
    unsafe {
        while (*callback).id != LIST_END {
            if (*callback).id == USER_NAME {
                let function = (*callback).function?;
                let function = std::mem::transmute::<unsafe extern "C" fn() -> c_int, ReturnsText>(function);
                return Some((function, (*callback).context));
            }
            callback = callback.add(1);
        }
    }
    None
}

/// Does nothing: the Kerberos library is loaded when a connection needs it.
#[unsafe(no_mangle)]
extern "C" fn sasl_client_init(_callbacks: *const Callback) -> c_int {
    OK
}

/// Makes the connection to a broker.
///
/// # Safety
/// The texts end with a NUL, the callbacks stay valid as long as the connection, and the last pointer is to a variable.
#[unsafe(no_mangle)]
unsafe extern "C" fn sasl_client_new(
    service: *const c_char,
    host: *const c_char,
    _local: *const c_char,
    _remote: *const c_char,
    callbacks: *const Callback,
    _flags: c_uint,
    made: *mut *mut Connection,
) -> c_int {
    // SAFETY: by the contract of this function.
    unsafe {
        let (Some(service), Some(host)) = (text(service), text(host)) else { return BAD_PARAMETER };
        let connection = Connection {
            service,
            host,
            user: user_callback(callbacks),
            session: None,
            output: Vec::new(),
            detail: CString::default(),
        };
        *made = Box::into_raw(Box::new(connection));
    }
    OK
}

/// Makes the first step of the login.
///
/// # Safety
/// The connection was made by [`sasl_client_new`] and is not yet disposed of. The other pointers are to variables.
#[unsafe(no_mangle)]
unsafe extern "C" fn sasl_client_start(
    connection: *mut Connection,
    _mechanisms: *const c_char,
    _questions: *mut *mut c_void,
    output: *mut *const c_char,
    length: *mut c_uint,
    mechanism: *mut *const c_char,
) -> c_int {
    // SAFETY: by the contract of this function, and nobody else has the connection meanwhile.
    unsafe {
        let connection = &mut *connection;
        let step = connection.start();
        let code = connection.keep(step);
        *mechanism = MECHANISM.as_ptr();
        give(connection, output, length);
        code
    }
}

/// Makes the next step of the login.
///
/// # Safety
/// As of [`sasl_client_start`]; `input` is null or to so many bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn sasl_client_step(
    connection: *mut Connection,
    input: *const u8,
    input_length: c_uint,
    _questions: *mut *mut c_void,
    output: *mut *const c_char,
    length: *mut c_uint,
) -> c_int {
    // SAFETY: by the contract of this function, and nobody else has the connection meanwhile.
    unsafe {
        let connection = &mut *connection;
        let input = match input.is_null() {
            true => &[],
            false => slice::from_raw_parts(input, input_length as usize),
        };
        let step = match &mut connection.session {
            Some(session) => session.step(input).map_err(|failure| failure.to_string()),
            None => Err("the login was not started".to_owned()),
        };
        let code = connection.keep(step);
        give(connection, output, length);
        code
    }
}

/// Returns what the broker gets.
///
/// # Safety
/// The pointers are to variables.
unsafe fn give(connection: &Connection, output: *mut *const c_char, length: *mut c_uint) {
    // SAFETY: by the contract of this function.
    unsafe {
        *output = connection.output.as_ptr().cast();
        *length = c_uint::try_from(connection.output.len()).unwrap_or(0);
    }
}

/// Ends a connection.
///
/// # Safety
/// The pointer is to a variable with null or a connection, which nobody uses any more.
#[unsafe(no_mangle)]
unsafe extern "C" fn sasl_dispose(connection: *mut *mut Connection) {
    // SAFETY: by the contract of this function.
    unsafe {
        if !connection.is_null() && !(*connection).is_null() {
            drop(Box::from_raw(*connection));
            *connection = ptr::null_mut();
        }
    }
}

/// Returns why the last step has failed.
///
/// # Safety
/// The connection is null or not yet disposed of.
#[unsafe(no_mangle)]
unsafe extern "C" fn sasl_errdetail(connection: *mut Connection) -> *const c_char {
    // SAFETY: by the contract of this function.
    match unsafe { connection.as_ref() } {
        Some(connection) => connection.detail.as_ptr(),
        None => c"no connection".as_ptr(),
    }
}

/// Returns the text of a code.
#[unsafe(no_mangle)]
extern "C" fn sasl_errstring(
    code: c_int,
    _languages: *const c_char,
    _language: *mut *const c_char,
) -> *const c_char {
    match code {
        OK | CONTINUE => c"success".as_ptr(),
        BAD_PARAMETER => c"a connection without a service or a host".as_ptr(),
        _ => c"failure".as_ptr(),
    }
}

/// Knows no properties: librdkafka asks for some to log them.
#[unsafe(no_mangle)]
extern "C" fn sasl_getprop(
    _connection: *mut Connection,
    _property: c_int,
    _value: *mut *const c_void,
) -> c_int {
    NOT_DONE
}

/// Returns the names of the mechanisms, of which there is one.
///
/// # Safety
/// The pointers to results are null or to variables.
#[unsafe(no_mangle)]
unsafe extern "C" fn sasl_listmech(
    _connection: *mut Connection,
    _user: *const c_char,
    _prefix: *const c_char,
    _separator: *const c_char,
    _suffix: *const c_char,
    result: *mut *const c_char,
    length: *mut c_uint,
    count: *mut c_int,
) -> c_int {
    // SAFETY: by the contract of this function.
    unsafe {
        if let Some(result) = result.as_mut() {
            *result = MECHANISM.as_ptr();
        }
        if let Some(length) = length.as_mut() {
            *length = c_uint::try_from(MECHANISM.count_bytes()).unwrap_or(0);
        }
        if let Some(count) = count.as_mut() {
            *count = 1;
        }
    }
    OK
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The context is the user name.
    unsafe extern "C" fn user(
        context: *mut c_void,
        _id: c_int,
        name: *mut *const c_char,
        _length: *mut c_uint,
    ) -> c_int {
        // SAFETY: the caller asks for a result, and the context is a text that ends with a NUL.
        unsafe { *name = context.cast() };
        OK
    }

    /// Starts the login of a user as librdkafka does, and returns the code and the detail.
    fn start(name: &CStr) -> (c_int, String) {
        // SAFETY: the callback has the type of its number.
        let function = unsafe { std::mem::transmute::<ReturnsText, unsafe extern "C" fn() -> c_int>(user) };
        let callbacks = [
            Callback { id: 2, function: None, context: ptr::null_mut() },
            Callback { id: USER_NAME, function: Some(function), context: name.as_ptr().cast_mut().cast() },
            Callback { id: LIST_END, function: None, context: ptr::null_mut() },
        ];
        let (mut connection, mut output, mut length, mut mechanism) =
            (ptr::null_mut(), ptr::null(), 0, ptr::null());
        // SAFETY: as the functions want it; the callbacks live longer than the connection.
        unsafe {
            let (service, host) = (c"kafka".as_ptr(), c"localhost".as_ptr());
            let made = sasl_client_new(
                service,
                host,
                ptr::null(),
                ptr::null(),
                callbacks.as_ptr(),
                0,
                &mut connection,
            );
            assert_eq!(made, OK);
            let none = ptr::null_mut();
            let code =
                sasl_client_start(connection, ptr::null(), none, &mut output, &mut length, &mut mechanism);
            let detail = text(sasl_errdetail(connection)).unwrap();
            sasl_dispose(&mut connection);
            assert!(connection.is_null());
            sasl_dispose(&mut connection);
            (code, detail)
        }
    }

    #[test]
    fn a_login_without_a_key_fails_with_its_reason() {
        let (code, detail) = start(c"ghost@WEIR.TEST /nowhere/ghost.keytab");
        assert_eq!(code, FAIL);
        assert!(detail.starts_with("no Kerberos ticket, code -1765328189: "), "{detail}");
    }

    #[test]
    fn a_user_name_that_means_no_tickets_is_an_error() {
        assert_eq!(start(c"ghost"), (FAIL, "the client has no principal and no keytab".to_owned()));
    }
}
