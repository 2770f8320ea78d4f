//! What leaves: INVITEs under their permit, and all else as far as the socket takes it.

use super::*;

/// Datagrams that wait for a full socket; those beyond are lost, as the network may lose them.
const BACKLOG_MAX: usize = 1_024;

impl Task {
    /// The write of an INVITE: the permit is asked inside, right before the system call (claim-8).
    pub(super) fn write_invite(&mut self, key: u64) -> Vec<Output> {
        let mut outputs = Vec::new();
        let Some(slot) = self.slots.get_mut(&key) else {
            return outputs;
        };
        let (clock, socket, links) = (&self.clock, &self.socket, &mut self.links);
        let stream = slot.call.writes_to().filter(|hop| hop.is_stream()).cloned();
        // What is older goes before the permit is asked, so that nothing comes between that and the write.
        let clear = match &stream {
            Some(hop) => links.prepare(key, hop, clock.read().mono),
            None => Ok(()),
        };
        let now = self.looked;
        let write = slot.call.write(
            || clock.read(),
            |bytes, to| match to {
                Hop::Udp(to) => socket.try_send_to(bytes, *to),
                to => clear.and_then(|()| links.write_invite(key, bytes, to, now)),
            },
            &mut outputs,
        );
        if write == Write::Blocked && stream.is_none() {
            self.blocked.insert(key);
        }
        outputs
    }

    pub(super) fn send(&mut self, bytes: Vec<u8>, to: &Hop) {
        let Hop::Udp(to) = *to else {
            let now = self.clock.read().mono;
            return self.links.send(bytes, to, now);
        };
        match self.socket.try_send_to(&bytes, to) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if self.backlog.len() < BACKLOG_MAX {
                    self.backlog.push_back((bytes, to));
                }
            }
            Err(error) => tracing::debug!(kind = %error.kind(), "could not send a datagram"),
            Ok(_) => {}
        }
    }

    /// The socket takes datagrams again.
    pub(super) fn flush(&mut self) {
        while let Some((bytes, to)) = self.backlog.pop_front() {
            match self.socket.try_send_to(&bytes, to) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.backlog.push_front((bytes, to));
                    return;
                }
                Ok(_) | Err(_) => {}
            }
        }
        for key in std::mem::take(&mut self.blocked) {
            let outputs = self.write_invite(key);
            self.carry_out(key, outputs);
        }
    }
}
