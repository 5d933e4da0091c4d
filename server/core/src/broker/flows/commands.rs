//! Commands of the command line, which come as streams of a link over a unix socket.

use crate::broker::{Broker, ConnId, Effect};
use crate::control::{Answer, Role};
use crate::ids::{EndId, Handle};
use crate::reason::{Code, Reason};
use alloc::string::String;

impl Broker {
    pub(crate) fn command(
        &mut self,
        stream: EndId,
        conn: ConnId,
        name: String,
    ) -> Result<(), Reason> {
        let hello = self.neighbours.hello(conn);
        if hello.is_none_or(|hello| hello.role != Role::Command) {
            let text = "commands are taken from the command line only";
            return Err(Reason::server(Code::NotAllowed, text));
        }
        self.audit_command(conn, &name);
        self.effects.push_back(Effect::Command { request: self.switch.handle(stream), name });
        Ok(())
    }

    pub(crate) fn do_answer_command(&mut self, request: Handle, reply: Result<&[u8], Reason>) {
        let Some(stream) = self.switch.live(request) else { return };
        match reply {
            Ok(bytes) => self.switch.reply(stream, &Answer::Accept(None), bytes),
            Err(reason) => self.switch.reply(stream, &Answer::Refuse(reason), &[]),
        }
    }
}
