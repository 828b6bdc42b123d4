//! Ten training steps beside PyTorch: weights by formula, a ragged batch, label smoothing, Adam; every loss agrees.
//!
//! The values come from PyTorch 2.15 in double precision. The decoder is written out step by step there, on purpose:
//! it shares no idea of this crate beyond the formulas.
//!
//! ```python
//! import torch
//! from torch import nn
//! from torch.nn.functional import cross_entropy
//! from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
//!
//! torch.set_default_dtype(torch.float64)
//! V, E, H = 9, 5, 6
//! ROWS = [([4, 5, 6], [6, 5, 4]), ([7, 8], [8, 7, 7, 4]), ([5], []), ([8, 6, 4, 7], [7, 4])]
//! pad = lambda rows: pad_sequence([torch.tensor(row) for row in rows])
//! src, lens = pad([x + [3] for x, _ in ROWS]), torch.tensor([len(x) + 1 for x, _ in ROWS])
//! tgt_in, tgt_out = pad([[2] + y for _, y in ROWS]), pad([y + [3] for _, y in ROWS])
//!
//! for feeding in [False, True]:
//!     src_emb, tgt_emb = nn.Embedding(V, E, padding_idx=0), nn.Embedding(V, E, padding_idx=0)
//!     encoder = nn.LSTM(E, H // 2, bidirectional=True)
//!     decoder = nn.LSTM(E + H if feeding else E, H)
//!     attention, combine = nn.Linear(H, H, bias=False), nn.Linear(2 * H, H, bias=False)
//!     output = nn.Linear(H, V)
//!     names = {"encoder.embedding": src_emb, "decoder.embedding": tgt_emb, "decoder.attention": attention,
//!              "decoder.combine": combine, "output": output}
//!     params = {f"{m}.{p}": t for m, module in names.items() for p, t in module.named_parameters()}
//!     for p, t in encoder.named_parameters():
//!         side = "rev" if p.endswith("_reverse") else "fwd"
//!         params[f"encoder.l0.{side}.{p.removesuffix('_reverse').removesuffix('_l0')}"] = t
//!     for p, t in decoder.named_parameters():
//!         params[f"decoder.l0.fwd.{p.removesuffix('_l0')}"] = t
//!     for name, t in params.items():
//!         phase = 0.1 * (sum(name.encode()) % 97)
//!         t.data = (0.5 * torch.cos(0.7 * torch.arange(t.numel()) + phase)).reshape(t.shape)
//!
//!     optimizer = torch.optim.Adam(params.values(), lr=0.01)
//!     losses = []
//!     for _ in range(10):
//!         packed, (h, c) = encoder(pack_padded_sequence(src_emb(src), lens, enforce_sorted=False))
//!         memory, _ = pad_packed_sequence(packed)                            # [S,B,H]
//!         state = [torch.cat([s[0], s[1]], -1)[None] for s in (h, c)]        # forward | reverse
//!         keys, beyond = attention(memory), torch.arange(len(src))[:, None] >= lens
//!         s, states = torch.zeros(len(ROWS), H), []
//!         for y in tgt_in:
//!             x = torch.cat([tgt_emb(y), s], -1) if feeding else tgt_emb(y)
//!             q, state = decoder(x[None], state)
//!             scores = (q * keys).sum(-1).masked_fill(beyond, -torch.inf)    # [S,B]
//!             context = (scores.softmax(0)[..., None] * memory).sum(0)
//!             s = combine(torch.cat([context, q[0]], -1)).tanh()
//!             states.append(s)
//!         logits = output(torch.stack(states))
//!         loss = cross_entropy(logits.flatten(0, 1), tgt_out.flatten(), ignore_index=0, label_smoothing=0.1)
//!         losses.append(loss.item())
//!         optimizer.zero_grad()
//!         loss.backward()
//!         optimizer.step()
//!     print(feeding, losses)
//! ```
#![allow(clippy::unnecessary_cast)] // `as Float` is a cast in one of the two builds only

mod common;

use seqweave_autograd::Tape;
use seqweave_nn::{AttentionKind, CellKind, Ctx, Optimizer, OptimizerConfig, OptimizerKind};
use seqweave_seq2seq::{Batch, BridgeKind, Seq2Seq};
use seqweave_tensor::{Device, Float};
use seqweave_testkit::{assert_close, wave};

const V: usize = 9;

fn losses(input_feeding: bool) -> Vec<Float> {
    let mut config = common::config(CellKind::Lstm, AttentionKind::General, BridgeKind::Copy, input_feeding);
    (config.emb, config.hidden) = (5, 6);
    let (model, mut params) = Seq2Seq::build(&config, V, V, &Device::cpu(), 0).unwrap();
    let names: Vec<(String, usize)> =
        params.iter().map(|(n, shape, _)| (n.to_string(), shape.numel())).collect();
    for (name, n) in names {
        let phase = 0.1 * (name.bytes().map(u64::from).sum::<u64>() % 97) as f64;
        let values: Vec<Float> = wave(n, 0.7, phase).iter().map(|&x| x as Float).collect();
        params.set_by_name(&name, &values).unwrap();
    }
    let batch = Batch::from_rows(&[
        (vec![4, 5, 6], vec![6, 5, 4]),
        (vec![7, 8], vec![8, 7, 7, 4]),
        (vec![5], vec![]),
        (vec![8, 6, 4, 7], vec![7, 4]),
    ])
    .unwrap();

    let optimizer = OptimizerConfig { kind: OptimizerKind::Adam, ..Default::default() };
    let mut optimizer = Optimizer::new(&optimizer, &params).unwrap();
    let mut losses = Vec::new();
    for _ in 0..10 {
        let tape = Tape::new();
        let loss = {
            let cx = Ctx::train(&params, tape.clone(), None);
            model.loss(&cx, &batch, 0.1, 1.0 / batch.tgt_tokens() as Float).unwrap().0
        };
        losses.push(loss.item().unwrap());
        params.zero_grad().unwrap();
        tape.backward(&loss, Some(params.grads_mut())).unwrap();
        optimizer.step(&mut params, 0.01, None).unwrap();
    }
    losses
}

/// Single precision loses two digits to ten steps of Adam; double precision shows that nothing but rounding does.
const RTOL: f64 = if cfg!(seqweave_f64) { 1e-10 } else { 2e-6 };

#[test]
fn without_input_feeding() {
    let want = [
        2.1615182663758254,
        2.1293496622343535,
        2.098361712081173,
        2.068377320959827,
        2.039102229629309,
        2.010222086546877,
        1.9814814397882548,
        1.95266240690156,
        1.9235680333800553,
        1.8940280494888724,
    ];
    assert_close(&losses(false), &want, RTOL, 0.0, "losses");
}

#[test]
fn with_input_feeding() {
    let want = [
        2.1793844134944202,
        2.1459688432345567,
        2.113458574070363,
        2.081770499366662,
        2.050909880350653,
        2.020810189513508,
        1.9912422011607558,
        1.9618826282337953,
        1.932450808324517,
        1.9027675709466747,
    ];
    assert_close(&losses(true), &want, RTOL, 0.0, "losses");
}
