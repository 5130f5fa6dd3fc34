//! The shared zone: the memory of the live table and of the attempts, with the mutex that every
//! access to either holds, and the counters, which need none.
//!
//! The mutex is the slab pool's own, because that is the one which nginx's master frees when a
//! worker dies with it (ngx_process.c, ngx_unlock_mutexes). What the dead worker left half done is
//! mended by [`Table::open`]; attempts are whole after each store.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::slice;

use nginx_sys::{
    ngx_int_t, ngx_module_t, ngx_pagesize, ngx_shared_memory_add, ngx_shm_zone_t, ngx_shmtx_lock,
    ngx_shmtx_unlock, ngx_slab_alloc, ngx_slab_pool_t, ngx_str_t,
};
use stagedoor_core::counters::Counters;
use stagedoor_core::limit::{Attempts, Secret, Slot, slots_within};
use stagedoor_core::registry::{Entry, Header, NameMark, Owner, Shape, Table};

use super::conf::{Conf, Mistake};
use super::guard::guard;
use super::log::Log;
use super::module::{ERROR, OK, text};

/// The zone's name, for nginx's messages and for finding it again on a reload.
const NAME: ngx_str_t = text(c"stagedoor");

/// A zone of the cycle that it was added to.
#[derive(Clone, Copy, Debug)]
pub struct Zone(NonNull<ngx_shm_zone_t>);

// SAFETY: the structure belongs to a cycle that outlives its workers, and is only read once the
// configuration stands; what it leads to is shared among processes anyway, see `with_table`.
unsafe impl Send for Zone {}
// SAFETY: as above.
unsafe impl Sync for Zone {}

impl Zone {
    /// Asks nginx for the zone. `size` in bytes; 0 leaves it to another call, or to
    /// [`Zone::default_size`].
    ///
    /// # Errors
    ///
    /// [`Mistake::Nginx`] when nginx refuses; it has said why.
    pub fn add(cf: &Conf<'_>, size: usize, tag: *mut ngx_module_t) -> Result<Zone, Mistake> {
        let mut name = NAME;
        // SAFETY: called while the configuration is read; nginx copies the name's address, and the
        // text it points to is static.
        let zone = unsafe {
            ngx_shared_memory_add(cf.as_ptr(), &raw mut name, size, tag.cast::<c_void>())
        };
        let mut zone = NonNull::new(zone).ok_or(Mistake::Nginx)?;
        // SAFETY: nginx's own structure, in the cycle's list.
        unsafe { zone.as_mut() }.init = Some(init);
        Ok(Zone(zone))
    }

    /// Gives the zone a size if no directive did.
    pub fn default_size(self, size: usize) {
        // SAFETY: called before nginx makes the zones.
        let shm = unsafe { &mut (*self.0.as_ptr()).shm };
        if shm.size == 0 {
            shm.size = size;
        }
    }

    /// The smallest size that is worth having, as nginx's own modules count it.
    pub fn least() -> usize {
        // SAFETY: a plain integer that nginx sets at start.
        8 * unsafe { ngx_pagesize }
    }

    /// Runs `action` on the live table, alone among all processes.
    ///
    /// Keep it short: no system call, no log line. `None` if nginx has not made the zone.
    pub fn with_table<T>(self, action: impl FnOnce(&mut Table<'_>) -> T) -> Option<T> {
        let locked = Locked::new(self)?;
        // SAFETY: `init` laid the parts out, and the lock is held.
        let parts = unsafe { Parts::of(locked.memory) };
        let mut table =
            Table::open(parts.header, parts.owners, parts.buckets, parts.entries, parts.marks);
        Some(action(&mut table))
    }

    /// Runs `action` on the attempts of all addresses, alone among all processes; as short as
    /// [`Zone::with_table`]'s. `None` if nginx has not made the zone.
    pub fn with_attempts<T>(self, action: impl FnOnce(&mut Attempts<'_>) -> T) -> Option<T> {
        let locked = Locked::new(self)?;
        let Memory { secret, slots, slot_count, .. } = locked.memory;
        // SAFETY: `init` counted so many slots into the allocation, zeroes are valid slots, and the
        // lock is held.
        let slots = unsafe { slice::from_raw_parts_mut(slots.as_ptr(), slot_count) };
        Some(action(&mut Attempts::open(secret, slots)))
    }

    /// What stands for the names that are live, to be read without the mutex; `None` if nginx has not
    /// made the zone.
    pub fn marks<'a>(self) -> Option<&'a [NameMark]> {
        let memory = self.memory()?;
        // SAFETY: `init` laid them out; they are atomic, and borrowed as such under the mutex, too.
        unsafe {
            let marks = Parts::marks(memory);
            Some(slice::from_raw_parts(marks.as_ptr(), memory.shape.entries))
        }
    }

    /// The counters; `None` if nginx has not made the zone.
    pub fn counters<'a>(self) -> Option<&'a Counters> {
        // SAFETY: `init` put them there; all of them are atomic.
        self.memory().map(|memory| unsafe { memory.counters.as_ref() })
    }

    /// Where the parts lie, which is written once, before any worker runs.
    fn memory(self) -> Option<Memory> {
        // SAFETY: as above.
        unsafe { self.pool()?.as_ref().data.cast::<Memory>().as_ref().copied() }
    }

    fn pool(self) -> Option<NonNull<ngx_slab_pool_t>> {
        // SAFETY: the zone belongs to a cycle that lives, and a process uses no zone beyond its
        // cycle; its memory starts with the slab pool, in which `init` leaves a `Memory`.
        NonNull::new(unsafe { self.0.as_ref() }.shm.addr.cast())
    }
}

/// The mutex, held.
struct Locked {
    pool: NonNull<ngx_slab_pool_t>,
    memory: Memory,
}

impl Locked {
    fn new(zone: Zone) -> Option<Locked> {
        let (pool, memory) = (zone.pool()?, zone.memory()?);
        // SAFETY: the pool's own, given back when the value is dropped.
        unsafe { ngx_shmtx_lock(&raw mut (*pool.as_ptr()).mutex) };
        Some(Locked { pool, memory })
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: taken in `new`.
        unsafe { ngx_shmtx_unlock(&raw mut (*self.pool.as_ptr()).mutex) };
    }
}

/// What `slab_pool.data` points to: where counters, attempts and table lie, and their sizes. It stands
/// in front of them in one allocation; every process has the zone at the same address.
#[derive(Clone, Copy)]
#[repr(C)]
struct Memory {
    counters: NonNull<Counters>,
    secret: Secret,
    slots: NonNull<Slot>,
    slot_count: usize,
    table: NonNull<u8>,
    shape: Shape,
}

struct Parts<'a> {
    header: &'a mut Header,
    owners: &'a mut [Owner],
    buckets: &'a mut [u32],
    entries: &'a mut [Entry],
    marks: &'a [NameMark],
}

impl<'a> Parts<'a> {
    /// Where the marks begin.
    ///
    /// # Safety
    ///
    /// The memory holds a table of that shape.
    unsafe fn marks(memory: Memory) -> NonNull<NameMark> {
        let Memory { table, shape, .. } = memory;
        // SAFETY: as in `of`.
        unsafe {
            let owners = table.cast::<Header>().add(1).cast::<Owner>();
            owners.add(shape.owners).cast::<Entry>().add(shape.entries).cast()
        }
    }

    /// # Safety
    ///
    /// The memory holds a table of that shape, or all zeroes, and nobody else uses it.
    unsafe fn of(memory: Memory) -> Parts<'a> {
        const {
            assert!(size_of::<Header>().is_multiple_of(align_of::<Owner>()));
            assert!(size_of::<Owner>().is_multiple_of(align_of::<Entry>()));
            assert!(size_of::<Entry>().is_multiple_of(align_of::<NameMark>()));
            assert!(size_of::<NameMark>().is_multiple_of(align_of::<u32>()));
        }
        let Memory { table, shape, .. } = memory;
        // SAFETY: `Shape::within` counted these five parts into the allocation, in this order the
        // asserts above keep each aligned, and zeroes are valid values of all of them.
        unsafe {
            let header = table.cast::<Header>();
            let owners = header.add(1).cast::<Owner>();
            let entries = owners.add(shape.owners).cast::<Entry>();
            let marks = Self::marks(memory);
            let buckets = marks.add(shape.entries).cast::<u32>();
            Parts {
                header: &mut *header.as_ptr(),
                owners: slice::from_raw_parts_mut(owners.as_ptr(), shape.owners),
                entries: slice::from_raw_parts_mut(entries.as_ptr(), shape.entries),
                buckets: slice::from_raw_parts_mut(buckets.as_ptr(), shape.buckets),
                marks: slice::from_raw_parts(marks.as_ptr(), shape.entries),
            }
        }
    }
}

/// Lays the table out, or takes over the one that the cycle before had.
unsafe extern "C" fn init(zone: *mut ngx_shm_zone_t, old: *mut c_void) -> ngx_int_t {
    guard("the shared zone's set-up", ERROR, || {
        // SAFETY: nginx calls this in the master, alone, with the zone's slab pool made.
        unsafe {
            // Any value but null: it comes back as `old` when a reload keeps the zone.
            (*zone).data = zone.cast::<c_void>();
            if !old.is_null() {
                return OK;
            }
            lay_out((*zone).shm.addr.cast::<ngx_slab_pool_t>())
        }
    })
}

/// # Safety
///
/// `pool` is a slab pool that nobody else uses yet.
unsafe fn lay_out(pool: *mut ngx_slab_pool_t) -> ngx_int_t {
    // SAFETY: as promised by the caller; the allocation takes every page that is free.
    unsafe {
        let bytes = (*pool).pfree * ngx_pagesize;
        let memory = NonNull::new(ngx_slab_alloc(pool, bytes).cast::<Memory>());
        let slot_count = slots_within(bytes);
        let others = size_of::<Memory>() + size_of::<Counters>() + slot_count * size_of::<Slot>();
        let (Some(memory), Some(shape)) = (memory, Shape::within(bytes.saturating_sub(others)))
        else {
            Log::cycle().emerg(format_args!("stagedoor_zone is too small to hold a live stream"));
            return ERROR;
        };
        let secret = match Secret::generate() {
            Ok(secret) => secret,
            Err(error) => {
                Log::cycle().emerg(format_args!("stagedoor: no random bytes: {error}"));
                return ERROR;
            }
        };
        memory.cast::<u8>().write_bytes(0, bytes);
        const {
            assert!(size_of::<Memory>().is_multiple_of(align_of::<Counters>()));
            assert!(size_of::<Counters>().is_multiple_of(align_of::<Slot>()));
            assert!(size_of::<Slot>().is_multiple_of(align_of::<Header>()));
        }
        // Zeroes are the start of counters and slots.
        let counters = memory.add(1).cast::<Counters>();
        let slots = counters.add(1).cast::<Slot>();
        let table = slots.add(slot_count).cast();
        let parts = Memory { counters, secret, slots, slot_count, table, shape };
        memory.write(parts);
        let Parts { header, owners, buckets, entries, marks } = Parts::of(parts);
        Table::create(header, owners, buckets, entries, marks);
        (*pool).data = memory.as_ptr().cast::<c_void>();
        (*pool).set_log_nomem(0);
        OK
    }
}
