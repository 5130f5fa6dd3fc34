//! Many clients at once, in one thread: publishers with media, players, and those who only knock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, ipproto, socket_with};

use crate::bench::Result;
use crate::rtmp::chunk::{Message, kind};
use crate::rtmp::command::Status;
use crate::rtmp::session::{CHUNK_SIZE, Event, Session};

/// What a client comes for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    Publish { key: String, media: Option<Media> },
    Play { name: String },
}

/// A stream's pictures: one that stands for itself each time, of always the same size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media {
    pub size: usize,
    pub every: Duration,
}

impl Media {
    /// 1 Mbit/s in 25 pictures a second.
    pub const ONE_MEGABIT: Self = Self { size: 5000, every: Duration::from_millis(40) };
}

/// One client, from its first packet to its end.
#[derive(Debug)]
pub struct Member {
    role: Role,
    socket: Option<TcpStream>,
    session: Session,
    began: Instant,
    /// The answer to `publish` or `play`, and when it came.
    pub answer: Option<(Status, Instant)>,
    /// When the connection ended.
    pub ended: Option<Instant>,
    pictures: u32,
    /// When the last picture came, and the times between those that came.
    last: Option<Instant>,
    pub gaps: Vec<f64>,
}

impl Member {
    fn new(role: Role, began: Instant) -> Self {
        let session = Session::new();
        Self {
            role,
            socket: None,
            session,
            began,
            answer: None,
            ended: None,
            pictures: 0,
            last: None,
            gaps: Vec::new(),
        }
    }

    /// Seconds from the first packet to being live (or playing); none while it is not.
    pub fn live_after(&self) -> Option<f64> {
        let (status, at) = self.answer.as_ref()?;
        let is_in = status.is_live() || status.code == "NetStream.Play.Start";
        is_in.then(|| at.duration_since(self.began).as_secs_f64())
    }

    pub fn is_live(&self) -> bool {
        self.live_after().is_some() && self.ended.is_none()
    }
}

/// All clients, by number.
#[derive(Debug)]
pub struct Crowd {
    server: SocketAddr,
    epoll: OwnedFd,
    members: Vec<Member>,
    /// When the first picture was due: others are due at times of their own after it.
    opening: Option<Instant>,
    /// Whose next picture is due when.
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    buffer: Vec<u8>,
}

impl Crowd {
    pub fn new(server: SocketAddr) -> Result<Self> {
        Ok(Self {
            server,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            members: Vec::new(),
            opening: None,
            due: BinaryHeap::new(),
            buffer: vec![0; 65536],
        })
    }

    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// How many of them are live now.
    pub fn live(&self) -> usize {
        self.members.iter().filter(|member| member.is_live()).count()
    }

    /// Forgets the gaps that were seen so far.
    pub fn forget_gaps(&mut self) {
        self.members.iter_mut().for_each(|member| member.gaps.clear());
    }

    /// All times between two pictures that came to players, in seconds.
    pub fn gaps(&self) -> Vec<f64> {
        self.members.iter().flat_map(|member| &member.gaps).copied().collect()
    }

    /// Another client begins to connect.
    pub fn add(&mut self, role: Role) -> Result<()> {
        self.members.push(Member::new(role, Instant::now()));
        self.open(self.members.len() - 1)
    }

    /// A client begins anew, whatever became of it.
    pub fn restart(&mut self, index: usize) -> Result<()> {
        let member = &mut self.members[index];
        *member = Member::new(member.role.clone(), Instant::now());
        self.open(index)
    }

    /// The connection is made while others are served; the socket says when it can be written.
    fn open(&mut self, index: usize) -> Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            socket_with(AddressFamily::INET, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        // encoders are not all at one address, for which attempts may be limited
        let [.., high, low] = (index as u32).to_be_bytes();
        bind(&socket, &SocketAddr::from(([127, 1, high, low], 0)))?;
        match connect(&socket, &self.server) {
            Ok(()) | Err(Errno::INPROGRESS) => (),
            Err(error) => return Err(format!("cannot connect: {error}").into()),
        }
        self.watch(&socket, index, true, true)?;
        self.members[index].socket = Some(socket.into());
        Ok(())
    }

    fn watch(&self, socket: &impl AsFd, index: usize, is_new: bool, writes: bool) -> Result<()> {
        let wanted = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
        let wanted = if writes { wanted | epoll::EventFlags::OUT } else { wanted };
        let data = epoll::EventData::new_u64(index as u64);
        match is_new {
            true => epoll::add(&self.epoll, socket, data, wanted)?,
            false => epoll::modify(&self.epoll, socket, data, wanted)?,
        }
        Ok(())
    }

    /// Serves everybody until the condition holds; false if it does not within that time.
    pub fn until(
        &mut self,
        limit: Duration,
        mut condition: impl FnMut(&mut Self) -> bool,
    ) -> Result<bool> {
        let deadline = Instant::now() + limit;
        loop {
            if condition(self) {
                return Ok(true);
            }
            let now = Instant::now();
            if now >= deadline {
                return Ok(false);
            }
            self.pictures(now)?;
            let next = self.due.peek().map_or(deadline, |Reverse((at, _))| *at);
            // conditions may look at the clock
            let wait = next.saturating_duration_since(now).min(Duration::from_millis(2));
            self.serve(wait)?;
        }
    }

    fn serve(&mut self, wait: Duration) -> Result<()> {
        let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 256];
        let events = match epoll::wait(&self.epoll, &mut events, Some(&wait)) {
            Ok((events, _)) => events,
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for event in events {
            let (index, flags) = (event.data.u64() as usize, event.flags);
            if flags.intersects(!epoll::EventFlags::OUT) {
                self.read(index);
            }
            self.write(index)?;
        }
        Ok(())
    }

    fn read(&mut self, index: usize) {
        let member = &mut self.members[index];
        let Some(socket) = &mut member.socket else { return };
        let ended = match socket.read(&mut self.buffer) {
            Ok(0) => true,
            Ok(read) => {
                member.session.receive(&self.buffer[..read]);
                false
            }
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
        loop {
            match self.members[index].session.event() {
                Ok(Some(event)) => self.step(index, event),
                Ok(None) => break,
                Err(_) => return self.end(index),
            }
        }
        if ended {
            self.end(index);
        }
    }

    /// What a client does next.
    fn step(&mut self, index: usize, event: Event) {
        let now = Instant::now();
        let member = &mut self.members[index];
        match (event, &member.role) {
            (Event::Handshaken, _) => member.session.connect("live", "localhost"),
            (Event::Connected, _) => member.session.create_stream(),
            (Event::Created, Role::Publish { key, .. }) => member.session.publish(key.as_bytes()),
            (Event::Created, Role::Play { name }) => member.session.play(name.as_bytes()),
            (Event::Status(status), role) if member.answer.is_none() => {
                if let (true, Role::Publish { media: Some(media), .. }) = (status.is_live(), role) {
                    member.session.set_chunk_size(CHUNK_SIZE);
                    let opening = *self.opening.get_or_insert(now);
                    self.due
                        .push(Reverse((first_picture(opening, media.every, index, now), index)));
                }
                member.answer = Some((status, now));
            }
            (Event::Media(message), _) => member.picture(&message, now),
            (Event::Status(_), _) => (),
        }
    }

    fn pictures(&mut self, now: Instant) -> Result<()> {
        while let Some(&Reverse((at, index))) = self.due.peek()
            && at <= now
        {
            self.due.pop();
            let member = &mut self.members[index];
            let Role::Publish { media: Some(media), .. } = member.role else { continue };
            if member.ended.is_some() {
                continue;
            }
            // a key frame of H.264, as far as a server looks into it
            let mut picture = vec![0x55; media.size];
            picture[..5].copy_from_slice(&[0x17, 1, 0, 0, 0]);
            let timestamp = member.pictures * media.every.as_millis() as u32;
            member.session.media(kind::VIDEO, timestamp, &picture);
            member.pictures += 1;
            self.due.push(Reverse((at + media.every, index)));
            self.write(index)?;
        }
        Ok(())
    }

    /// Sends what there is to send, and asks to be told when more can be.
    fn write(&mut self, index: usize) -> Result<()> {
        let member = &mut self.members[index];
        let Some(socket) = &mut member.socket else { return Ok(()) };
        if member.session.out.is_empty() {
            return Ok(());
        }
        match socket.write(&member.session.out) {
            Ok(wrote) => drop(member.session.out.drain(..wrote)),
            Err(error) if is_early(&error) => return Ok(()),
            Err(_) => {
                self.end(index);
                return Ok(());
            }
        }
        let more = !member.session.out.is_empty();
        match &self.members[index].socket {
            Some(socket) => self.watch(socket, index, false, more),
            None => Ok(()),
        }
    }

    fn end(&mut self, index: usize) {
        let member = &mut self.members[index];
        member.socket = None;
        member.ended.get_or_insert_with(Instant::now);
    }
}

/// Everybody at another time, and at the same times whichever server they come to: steps of the golden
/// section leave no two near each other. Not before `now`.
fn first_picture(opening: Instant, every: Duration, index: usize, now: Instant) -> Instant {
    let phase = every.mul_f64((index as f64 * 0.618_034).fract());
    let passed = now.duration_since(opening).as_nanos() / every.as_nanos();
    opening + every * (passed as u32 + 1) + phase
}

impl Member {
    fn picture(&mut self, message: &Message, now: Instant) {
        if message.header.kind == kind::VIDEO
            && let Some(last) = self.last.replace(now)
        {
            self.gaps.push(now.duration_since(last).as_secs_f64());
        }
    }
}

/// The connection is not made yet, or takes no more for now.
fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}
