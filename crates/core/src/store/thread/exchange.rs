//! How one thread hands things to another, and neither ever waits: not even for one that is stopped in
//! the middle of it, by a page of memory that a disk does not give, a debugger, or the scheduler.
//!
//! There are two slots, and each is with the writer, with the reader, or between them. The writer takes
//! up the one in between, adds to it and puts it back; the reader takes it away and leaves the one that
//! it has emptied. Both are the swap of one atomic word. So things stay in order, whatever is not taken
//! yet can be looked at and thrown away by the writer, and nothing is allocated or freed: the slots keep
//! their memory.
//!
//! A slot's mutex is there for the compiler. Who has the slot's number is the only one that locks it.
//!
//! A lock-free queue would not do: those of std::sync::mpsc and of crossbeam have a reader spin for a
//! writer that was stopped between its two steps.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// No slot: the reader had none to leave. A slot's number is 0 or 1.
const NOTHING: u8 = 2;
/// No slot: the writer has it in hand.
const LIFTED: u8 = 3;

/// One writer, one reader: at any time one thread each.
#[derive(Debug)]
pub(super) struct Exchange<T> {
    slots: [Mutex<T>; 2],
    between: AtomicU8,
    /// The slot that the writer has besides, for when it finds none; its own.
    writers: AtomicU8,
    /// The slot that the reader has emptied; its own.
    readers: AtomicU8,
}

impl<T: Default> Default for Exchange<T> {
    fn default() -> Self {
        let [between, writers, readers] = [0, NOTHING, 1].map(AtomicU8::new);
        Self { slots: Default::default(), between, writers, readers }
    }
}

impl<T> Exchange<T> {
    /// For the writer: changes what the reader has yet to take. Says, too, whether the reader has looked
    /// meanwhile: it has found nothing then.
    ///
    /// `change` must not panic.
    pub(super) fn write<R>(&self, change: impl FnOnce(&mut T) -> R) -> (R, bool) {
        let number = match self.between.swap(LIFTED, Ordering::AcqRel) {
            number @ (0 | 1) => number,
            _ => self.writers.swap(NOTHING, Ordering::Relaxed),
        };
        let result = change(&mut self.slot(number));
        let met = self.between.swap(number, Ordering::AcqRel);
        if is_slot(met) {
            self.writers.store(met, Ordering::Relaxed);
        }
        (result, met != LIFTED)
    }

    /// For the reader: takes what there is. `empty` leaves nothing behind, and does not panic.
    pub(super) fn read(&self, empty: impl FnOnce(&mut T)) {
        let left = self.readers.swap(NOTHING, Ordering::Relaxed);
        let number = self.between.swap(left, Ordering::AcqRel);
        if is_slot(number) {
            empty(&mut self.slot(number));
            self.readers.store(number, Ordering::Relaxed);
        }
    }

    fn slot(&self, number: u8) -> MutexGuard<'_, T> {
        self.slots[usize::from(number & 1)].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_slot(number: u8) -> bool {
    number < NOTHING
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    type Things = Exchange<Vec<u32>>;

    fn take(exchange: &Things) -> Vec<u32> {
        let mut taken = Vec::new();
        exchange.read(|there| taken.append(there));
        taken
    }

    #[test]
    fn what_is_written_is_read_once_and_in_order() {
        let exchange = Things::default();
        assert_eq!(take(&exchange), []);
        for round in 0..5 {
            let parts = [round, round + 1];
            assert!(parts.map(|it| exchange.write(|there| there.push(it)).1) == [false, false]);
            assert_eq!(take(&exchange), parts);
            assert_eq!(take(&exchange), []);
        }
    }

    #[test]
    fn the_writer_may_change_what_is_not_taken_yet() {
        let exchange = Things::default();
        exchange.write(|there| there.extend([1, 2, 3]));
        exchange.write(|there| there.remove(0));
        assert_eq!(take(&exchange), [2, 3]);
    }

    /// Has another thread stop in `write` or `read`; what is sent lets it go on.
    fn stop_in(exchange: &Arc<Things>, is_writer: bool) -> (Sender<()>, thread::JoinHandle<bool>) {
        let (exchange, (release, released)) = (Arc::clone(exchange), channel::<()>());
        let (stopped, is_stopped) = channel();
        let stop = move |released: &Receiver<()>| {
            stopped.send(()).unwrap();
            released.recv().unwrap();
        };
        let other = thread::spawn(move || match is_writer {
            true => {
                let write = |there: &mut Vec<u32>| {
                    there.push(2);
                    stop(&released);
                    there.push(3);
                };
                exchange.write(write).1
            }
            false => {
                let mut taken = Vec::new();
                exchange.read(|there| {
                    taken.push(there.remove(0));
                    stop(&released);
                    taken.append(there);
                });
                taken == [1, 2]
            }
        });
        is_stopped.recv().unwrap();
        (release, other)
    }

    #[test]
    fn a_reader_does_not_wait_for_a_writer_that_is_stopped_and_is_known_to_have_looked() {
        let exchange = Arc::new(Things::default());
        for _ in 0..3 {
            exchange.write(|there| there.push(1));
            let (release, writer) = stop_in(&exchange, true);
            for _ in 0..3 {
                assert_eq!(take(&exchange), []);
            }
            release.send(()).unwrap();
            assert!(writer.join().unwrap());
            assert_eq!(take(&exchange), [1, 2, 3]);
        }
    }

    #[test]
    fn a_writer_does_not_wait_for_a_reader_that_is_stopped() {
        let exchange = Arc::new(Things::default());
        for _ in 0..3 {
            exchange.write(|there| there.extend([1, 2]));
            let (release, reader) = stop_in(&exchange, false);
            for number in 3..1000 {
                assert!(!exchange.write(|there| there.push(number)).1);
            }
            exchange.write(|there| there.truncate(2));
            release.send(()).unwrap();
            assert!(reader.join().unwrap());
            assert_eq!(take(&exchange), [3, 4]);
        }
    }

    #[test]
    fn nothing_is_lost_while_both_are_at_it() {
        const COUNT: u32 = 300_000;
        let exchange = Arc::new(Things::default());
        let writer = {
            let exchange = Arc::clone(&exchange);
            thread::spawn(move || {
                for number in 0..COUNT {
                    exchange.write(|there| there.push(number));
                    if number % 1000 == 0 {
                        thread::yield_now();
                    }
                }
            })
        };
        let (mut expected, until) = (0, Instant::now() + Duration::from_secs(60));
        while expected < COUNT {
            assert!(Instant::now() < until);
            for number in take(&exchange) {
                assert_eq!(number, expected);
                expected += 1;
            }
        }
        writer.join().unwrap();
        assert_eq!(take(&exchange), []);
    }
}
