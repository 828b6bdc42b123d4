//! Optimizers and gradient clipping.

use crate::{ATOL, RTOL, formula, golden};
use seqweave_nn::{Init, Optimizer, OptimizerConfig, OptimizerKind, Params, ParamsBuilder};
use seqweave_tensor::{Device, Float};
use seqweave_testkit::assert_close;

/// Parameters `a`, `b`, … of these shapes, number k filled with `formula(shape, k)`.
fn params(shapes: &[&[usize]]) -> Params {
    let mut builder = ParamsBuilder::new();
    let names = ["a", "b"];
    for (name, &shape) in names.iter().zip(shapes) {
        builder.root().param(name, shape, Init::Zeros);
    }
    let mut params = builder.build(&Device::cpu(), 0).unwrap();
    for (k, (name, &shape)) in names.iter().zip(shapes).enumerate() {
        params.set_by_name(name, &formula(shape, k).to_vec()).unwrap();
    }
    params
}

fn set_gradients(params: &mut Params, gradients: &[Float]) {
    params.grads_mut().view_mut().unwrap().copy_from_slice(gradients).unwrap();
}

// p = leaf([7], 0)
// adam:       torch.optim.Adam([p], lr=0.1, betas=(0.8, 0.95), eps=1e-6)
// adam_decay: torch.optim.Adam([p], lr=0.1, weight_decay=0.1)
// adamw:      torch.optim.AdamW([p], lr=0.1, weight_decay=0.1)
// sgd:        torch.optim.SGD([p], lr=0.1, weight_decay=0.1)
// momentum:   torch.optim.SGD([p], lr=0.1, momentum=0.9)
// nesterov:   torch.optim.SGD([p], lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)
// for step in range(5): p.grad = formula([7], 1 + step); optimizer.step(); path.append(p)
fn check(name: &str, config: OptimizerConfig) {
    let mut params = params(&[&[7]]);
    let mut optimizer = Optimizer::new(&config, &params).unwrap();
    let mut path: Vec<Float> = Vec::new();
    for step in 0..5 {
        set_gradients(&mut params, &formula([7], 1 + step).to_vec());
        // Through a saved state and back after every step: nothing may be lost.
        let state = optimizer.state();
        optimizer = Optimizer::new(&config, &params).unwrap();
        optimizer.load_state(&state).unwrap();
        let report = optimizer.step(&mut params, 0.1, None).unwrap();
        assert!(!report.clipped && report.grad_norm > 0.0);
        path.extend(params.values().to_vec());
    }
    golden("optimizers").assert_close(name, &[5, 7], &path, RTOL, ATOL);
}

#[test]
fn adam() {
    check("adam", OptimizerConfig { beta1: 0.8, beta2: 0.95, eps: 1e-6, ..Default::default() });
}

#[test]
fn adam_with_decay() {
    check("adam_decay", OptimizerConfig { weight_decay: 0.1, ..Default::default() });
}

#[test]
fn adamw() {
    let kind = OptimizerKind::Adamw;
    check("adamw", OptimizerConfig { kind, weight_decay: 0.1, ..Default::default() });
}

#[test]
fn sgd() {
    let kind = OptimizerKind::Sgd;
    check("sgd", OptimizerConfig { kind, weight_decay: 0.1, ..Default::default() });
}

#[test]
fn sgd_with_momentum() {
    let kind = OptimizerKind::Sgd;
    check("momentum", OptimizerConfig { kind, momentum: 0.9, ..Default::default() });
}

#[test]
fn sgd_nesterov() {
    let kind = OptimizerKind::Sgd;
    let config =
        OptimizerConfig { kind, momentum: 0.9, nesterov: true, weight_decay: 0.1, ..Default::default() };
    check("nesterov", config);
}

// a, b = leaf([4], 0), leaf([2, 3], 1)
// optimizer = torch.optim.SGD([a, b], lr=1.0)
// for step, limit in enumerate([0.5, 100.0]):
//     a.grad, b.grad = formula([4], 2 + step), formula([2, 3], 4 + step)
//     norms.append(torch.nn.utils.clip_grad_norm_([a, b], limit))
//     optimizer.step()
#[test]
fn clip() {
    let mut params = params(&[&[4], &[2, 3]]);
    let config = OptimizerConfig { kind: OptimizerKind::Sgd, ..Default::default() };
    let mut optimizer = Optimizer::new(&config, &params).unwrap();
    let mut norms = Vec::new();
    for (step, limit) in [0.5, 100.0].into_iter().enumerate() {
        let gradients = [formula([4], 2 + step).to_vec(), formula([2, 3], 4 + step).to_vec()].concat();
        set_gradients(&mut params, &gradients);
        let report = optimizer.step(&mut params, 1.0, Some(limit)).unwrap();
        assert_eq!(report.clipped, step == 0);
        norms.push(report.grad_norm);
    }
    let want = golden("clip");
    assert_close(&norms, &want.get("norms").unwrap().values, RTOL, 0.0, "norms");
    for (name, shape) in [("a", &[4][..]), ("b", &[2, 3])] {
        want.assert_close(name, shape, &params.by_name(name).unwrap().to_vec(), RTOL, ATOL);
    }
}
