//! From a remote's answer into the spool, as fast as both go.

use super::{
    FillError, fill::STEP_BYTES, origin::OriginError, source::Source, space::Reservation,
    window::Window,
};
use crate::store::{AppendError, Spool, StoreError};

/// How one connection to the remote ended.
pub(super) enum Pumped {
    Complete,
    Broken(OriginError),
    /// There is no room for more. The spool has hashed all that came; what is not in its file is in the window.
    /// `whole`: nothing more is to come.
    Full {
        whole: bool,
    },
}

/// Moves a body into the spool: one step is written and hashed on blocking threads while the next one is gathered.
/// Readers that keep up have the bytes from the window as soon as they come.
pub(super) async fn pump(
    spool: Spool,
    source: &mut Source,
    window: &Window,
    room: &mut Reservation,
) -> Result<(Spool, Pumped), FillError> {
    let in_file = spool.progress();
    let mut gathered = Vec::new();
    let mut gathered_bytes = 0;
    let mut ended = None;
    let mut idle = Some(spool);
    let mut writing = std::pin::pin!(None);
    loop {
        if !gathered.is_empty()
            && let Some(spool) = idle.take()
        {
            let chunks = std::mem::take(&mut gathered);
            let reached = spool.received() + gathered_bytes as u64;
            gathered_bytes = 0;
            let written = *in_file.borrow();
            if !has_room(room, reached, written).await? {
                let whole = matches!(ended, Some(Pumped::Complete));
                return Ok((spool.take_in(chunks).await, Pumped::Full { whole }));
            }
            writing.set(Some(spool.append(chunks)));
        }
        match (&ended, idle.take()) {
            (Some(_), Some(spool)) => return Ok((spool, ended.expect("just seen to be there"))),
            (_, spool) => idle = spool,
        }
        tokio::select! {
            chunk = source.next(), if ended.is_none() && gathered_bytes < window.room() => match chunk {
                Ok(Some(chunk)) => {
                    gathered_bytes += chunk.len();
                    window.push(chunk.clone(), *in_file.borrow());
                    gathered.push(chunk);
                }
                Ok(None) => ended = Some(Pumped::Complete),
                Err(error) => ended = Some(Pumped::Broken(error)),
            },
            written = async { writing.as_mut().as_pin_mut().expect("guarded by is_none").await },
                if idle.is_none() =>
            {
                writing.set(None);
                match written {
                    Ok(spool) => idle = Some(spool),
                    Err(AppendError { error: StoreError::NoSpace { .. }, spool }) => {
                        room.ran_out();
                        let spool = spool.take_in(gathered).await;
                        let whole = matches!(ended, Some(Pumped::Complete));
                        return Ok((spool, Pumped::Full { whole }));
                    }
                    Err(AppendError { error, .. }) => return Err(error.into()),
                }
            }
        }
    }
}

/// Whether the file may grow to `bytes`. What was announced was reserved; without a length that is done step by step.
async fn has_room(room: &mut Reservation, bytes: u64, in_file: u64) -> Result<bool, StoreError> {
    if bytes <= room.bytes() {
        room.wrote(in_file);
        return Ok(true);
    }
    room.take(bytes + STEP_BYTES, in_file).await
}
