//! Sends much: far rounds, far heights, frames that are no messages.

use super::{Means, Said};
use alloy_primitives::{B256, Bytes};
use entente_consensus::{
    Message,
    ibft::{self, PreparePayload, RoundChange, RoundChangePayload, Signed, View},
};

pub(super) fn distort(message: &Message, frame: &Bytes, means: &mut Means<'_>) -> Vec<Said> {
    let mut said = vec![Said::to_all(frame.clone())];
    for _ in 0..4 {
        let length = means.random.index(200);
        let noise: Vec<u8> =
            (0..length).map(|_| u8::try_from(means.random.below(256)).unwrap_or(0)).collect();
        said.push(Said::to_all(noise.into()));
        let mut cut = frame.to_vec();
        cut.truncate(means.random.index(frame.len()));
        said.push(Said::to_all(cut.into()));
    }
    if let Message::Ibft(message) = message {
        let View { height, round } = message.view();
        for ahead in [1, 7, 1_000, u64::from(u32::MAX)] {
            let view = View {
                height: height.saturating_add(means.random.below(6)),
                round: round.saturating_add(ahead),
            };
            let digest = B256::with_last_byte(u8::try_from(means.random.below(256)).unwrap_or(0));
            let prepare =
                Signed::sign(PreparePayload { view, digest }, means.environment, means.signer);
            said.push(Said::to_all(Message::Ibft(ibft::Message::Prepare(prepare)).encode()));
            let payload = RoundChangePayload { view, prepared: None };
            let signed = Signed::sign(payload, means.environment, means.signer);
            let change = RoundChange { signed, block: None, prepares: Vec::new() };
            let change = ibft::Message::RoundChange(Box::new(change));
            said.push(Said::to_all(Message::Ibft(change).encode()));
        }
    }
    said
}
