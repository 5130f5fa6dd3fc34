//! A VFS of SQLite that stands in front of the system's own and fails as [`Plan`] says
//! (<https://www.sqlite.org/c3ref/io_methods.html>).
//!
//! A call that fails is not made, but for those that give a lock back: SQLite does not look at what
//! they return, and a lock that is never given back is no fault that a local file system has.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use rusqlite::ffi::{
    self, SQLITE_OK, SQLITE_SHM_UNLOCK, sqlite3_file, sqlite3_int64, sqlite3_io_methods,
    sqlite3_vfs,
};

use crate::plan::{Call, Plan};

/// The system's own.
static REAL: AtomicPtr<sqlite3_vfs> = AtomicPtr::new(ptr::null_mut());

/// An open file; the system's own stands behind it.
#[repr(C)]
struct File {
    methods: *const sqlite3_io_methods,
    /// Owned; null where nothing fails.
    plan: *const Plan,
}

/// Makes it the VFS of every database that is opened from now on.
pub fn register() {
    // SAFETY: SQLite initialises itself; the default VFS of Unix lives for ever, and so does the
    // copy, whose functions all but four ignore which VFS they are called with.
    unsafe {
        ffi::sqlite3_initialize();
        let real = ffi::sqlite3_vfs_find(ptr::null());
        REAL.store(real, Ordering::Release);
        let mut vfs = *real;
        vfs.zName = c"stagedoor-faults".as_ptr();
        vfs.szOsFile += size_of::<File>() as c_int;
        vfs.xOpen = Some(open);
        vfs.xDelete = Some(delete);
        vfs.xAccess = Some(access);
        vfs.xFullPathname = Some(full_pathname);
        let rc = ffi::sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 1);
        assert_eq!(rc, SQLITE_OK);
    }
}

fn real() -> *mut sqlite3_vfs {
    REAL.load(Ordering::Acquire)
}

/// # Safety
///
/// `name` is null or a C string.
unsafe fn plan_of(name: *const c_char) -> Option<Arc<Plan>> {
    if name.is_null() {
        return None; // a temporary file
    }
    // SAFETY: as promised by the caller.
    let name = unsafe { CStr::from_ptr(name) };
    Plan::of(Path::new(OsStr::from_bytes(name.to_bytes())))
}

unsafe extern "C" fn open(
    _vfs: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite hands over `szOsFile` bytes: ours, and the system's behind them.
    unsafe {
        let ours = file.cast::<File>();
        ours.write(File { methods: ptr::null(), plan: ptr::null() });
        let plan = plan_of(name);
        if let Some(code) = plan.as_ref().and_then(|plan| plan.next(Call::Other)) {
            return code;
        }
        let behind = behind(file);
        (*behind).pMethods = ptr::null();
        let Some(open) = (*real()).xOpen else { return ffi::SQLITE_ERROR };
        let rc = open(real(), name, behind, flags, out_flags);
        if !(*behind).pMethods.is_null() {
            let plan = plan.map_or(ptr::null(), Arc::into_raw);
            ours.write(File { methods: &raw const METHODS, plan });
        }
        rc
    }
}

unsafe extern "C" fn delete(_vfs: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: SQLite's call, passed on.
    unsafe {
        match (plan_of(name).and_then(|plan| plan.next(Call::Other)), (*real()).xDelete) {
            (None, Some(delete)) => delete(real(), name, sync),
            (code, _) => code.unwrap_or(ffi::SQLITE_ERROR),
        }
    }
}

unsafe extern "C" fn access(
    _vfs: *mut sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    result: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's call, passed on.
    unsafe {
        match (plan_of(name).and_then(|plan| plan.next(Call::Other)), (*real()).xAccess) {
            (None, Some(access)) => access(real(), name, flags, result),
            (code, _) => code.unwrap_or(ffi::SQLITE_ERROR),
        }
    }
}

unsafe extern "C" fn full_pathname(
    _vfs: *mut sqlite3_vfs,
    name: *const c_char,
    size: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite's call, passed on.
    unsafe {
        match (plan_of(name).and_then(|plan| plan.next(Call::Other)), (*real()).xFullPathname) {
            (None, Some(full)) => full(real(), name, size, out),
            (code, _) => code.unwrap_or(ffi::SQLITE_ERROR),
        }
    }
}

/// The system's file behind ours.
///
/// # Safety
///
/// `file` is one of ours.
unsafe fn behind(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: `register` asked SQLite for room for both; ours is a multiple of a pointer's size.
    unsafe { file.cast::<File>().add(1).cast::<sqlite3_file>() }
}

/// # Safety
///
/// `file` is one of ours.
unsafe fn fault(file: *mut sqlite3_file, call: Call) -> Option<c_int> {
    // SAFETY: as promised; the plan is the file's own until it is closed.
    unsafe { (*file.cast::<File>()).plan.as_ref() }.and_then(|plan| plan.next(call))
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: closed once; the plan came out of `Arc::into_raw`.
    unsafe {
        let plan = std::mem::replace(&mut (*file.cast::<File>()).plan, ptr::null());
        if !plan.is_null() {
            drop(Arc::from_raw(plan));
        }
        let behind = behind(file);
        (*(*behind).pMethods).xClose.map_or(SQLITE_OK, |close| close(behind))
    }
}

/// A method that fails or is passed on.
macro_rules! method {
    ($name:ident, $method:ident, $call:ident $(, $argument:ident: $type:ty)*) => {
        unsafe extern "C" fn $name(file: *mut sqlite3_file $(, $argument: $type)*) -> c_int {
            // SAFETY: SQLite's call on an open file of ours, passed on to the one behind it.
            unsafe {
                if let Some(code) = fault(file, Call::$call) {
                    return code;
                }
                let behind = behind(file);
                let method = (*(*behind).pMethods).$method;
                method.map_or(ffi::SQLITE_ERROR, |method| method(behind $(, $argument)*))
            }
        }
    };
}

/// A method that gives something back: it is passed on, and may return a fault.
macro_rules! release {
    ($name:ident, $method:ident $(, $argument:ident: $type:ty)*) => {
        unsafe extern "C" fn $name(file: *mut sqlite3_file $(, $argument: $type)*) -> c_int {
            // SAFETY: SQLite's call on an open file of ours, passed on to the one behind it.
            unsafe {
                let code = fault(file, Call::Other);
                let behind = behind(file);
                let method = (*(*behind).pMethods).$method;
                let rc = method.map_or(ffi::SQLITE_ERROR, |method| method(behind $(, $argument)*));
                code.unwrap_or(rc)
            }
        }
    };
}

method!(read, xRead, Other, to: *mut c_void, size: c_int, at: sqlite3_int64);
method!(write, xWrite, Other, from: *const c_void, size: c_int, at: sqlite3_int64);
method!(truncate, xTruncate, Other, size: sqlite3_int64);
method!(sync, xSync, Other, flags: c_int);
method!(file_size, xFileSize, Other, size: *mut sqlite3_int64);
method!(lock, xLock, Lock, level: c_int);
release!(unlock, xUnlock, level: c_int);
method!(check_reserved_lock, xCheckReservedLock, Lock, result: *mut c_int);
method!(file_control, xFileControl, Other, what: c_int, with: *mut c_void);
method!(shm_map, xShmMap, Other, page: c_int, size: c_int, extend: c_int, at: *mut *mut c_void);
method!(shm_take, xShmLock, Lock, offset: c_int, count: c_int, flags: c_int);
release!(shm_give, xShmLock, offset: c_int, count: c_int, flags: c_int);
release!(shm_unmap, xShmUnmap, delete: c_int);
method!(fetch, xFetch, Other, at: sqlite3_int64, size: c_int, page: *mut *mut c_void);
release!(unfetch, xUnfetch, at: sqlite3_int64, page: *mut c_void);

unsafe extern "C" fn shm_lock(
    file: *mut sqlite3_file,
    offset: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: SQLite's call, passed on.
    unsafe {
        match flags & SQLITE_SHM_UNLOCK {
            0 => shm_take(file, offset, count, flags),
            _ => shm_give(file, offset, count, flags),
        }
    }
}

unsafe extern "C" fn sector_size(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite's call, passed on.
    unsafe {
        let behind = behind(file);
        (*(*behind).pMethods).xSectorSize.map_or(0, |method| method(behind))
    }
}

unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    // SAFETY: SQLite's call, passed on.
    unsafe {
        let behind = behind(file);
        (*(*behind).pMethods).xDeviceCharacteristics.map_or(0, |method| method(behind))
    }
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    // SAFETY: SQLite's call, passed on.
    unsafe {
        let behind = behind(file);
        if let Some(method) = (*(*behind).pMethods).xShmBarrier {
            method(behind);
        }
    }
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 3,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: Some(fetch),
    xUnfetch: Some(unfetch),
};
