//! temp
use seqweave_tensor::*;
use std::time::Instant;
fn t<R>(name: &str, elems: usize, mut f: impl FnMut() -> R) {
    for _ in 0..3 {
        std::hint::black_box(f());
    }
    let mut best = f64::MAX;
    for _ in 0..15 {
        let s = Instant::now();
        std::hint::black_box(f());
        best = best.min(s.elapsed().as_secs_f64());
    }
    println!("{name:28} {:8.3} ms  {:6.3} ns/elem", best * 1e3, best * 1e9 / elems as f64);
}
fn main() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let d = Device::cpu();
        let w = |s: [usize; 2]| {
            Tensor::from_vec(&d, (0..s[0] * s[1]).map(|i| ((i as Float) * 0.731).sin() * 2.0).collect(), s)
                .unwrap()
        };
        let x = w([200, 512]);
        let y = w([200, 512]);
        let n = 200 * 512;
        t("add", n, || ops::add(&x, &y));
        t("tanh", n, || ops::tanh(&x));
        t("sigmoid", n, || ops::sigmoid(&x));
        t("tanh_backward", n, || {
            let mut o = Tensor::zeros(&d, [200, 512]);
            ops::tanh_backward(&x, &y, Acc::Set, o.view_mut().unwrap())
        });
        t("zeros", n, || Tensor::zeros(&d, [200, 512]));
        t("dropout", n, || ops::dropout(&x, 0.3, Philox { seed: 1, step: 2 }, 3));
        t("sum", n, || ops::sum(&x));
        t("sum_squares", n, || ops::sum_squares(&x));
        t("non_finite", n, || ops::first_non_finite(&x));
        t("sum_last", n, || ops::sum_last(&x));
        t("max_last", n, || ops::max_last(&x));
        t("argmax_last", n, || ops::argmax_last(&x));
        t("sum_rows", n, || ops::sum_rows(&x));
        t("softmax", n, || ops::softmax(&x));
        t("log_softmax", n, || ops::log_softmax(&x));
        t("add_bias", n, || ops::add_bias(&x, &y.step(0).unwrap()));
        let l = w([100, 8000]);
        let ids = Ids::list((0..100).map(|i| (i * 37 + 1) as u32).collect());
        t("cross_entropy", 800000, || ops::cross_entropy(&l, &ids, 0, 0.1).unwrap());
        let s = ops::cross_entropy(&l, &ids, 0, 0.1).unwrap();
        let mut o = Tensor::zeros(&d, [100, 8000]);
        t("cross_entropy_backward", 800000, || {
            ops::cross_entropy_backward(&l, &ids, 0, 0.1, &s, 1.0, Acc::Set, o.view_mut().unwrap())
        });
        let (g, b) = (y.step(0).unwrap(), y.step(1).unwrap());
        t("layer_norm", n, || ops::layer_norm(&x, &g, &b, 1e-5).unwrap());
        let (_, sv) = ops::layer_norm(&x, &g, &b, 1e-5).unwrap();
        t("layer_norm_backward", n, || ops::layer_norm_backward(&y, &x, &g, &sv).unwrap());
        t("swap01", n, || ops::swap01(&x));
        let x3 = x.reshape([20, 10, 512]).unwrap();
        t("swap01 3d", n, || ops::swap01(&x3));
        t("concat_last", 2 * n, || ops::concat_last(&[&x, &y]));
        let e = Ids::list((0..200).map(|i| (i * 37 % 8000) as u32).collect());
        let tab = w([8000, 512]);
        t("embedding", n, || ops::embedding(&tab, &e));
        let mut dt = w([8000, 512]);
        t("embedding_backward", n, || {
            ops::embedding_backward(&x, &e, None, Acc::Add, dt.view_mut().unwrap())
        });
        let gr = w([8000, 512]);
        let (mut p, mut m, mut v) =
            (w([8000, 512]), Tensor::zeros(&d, [8000, 512]), Tensor::zeros(&d, [8000, 512]));
        t("adam", 8000 * 512, || {
            ops::adam(
                p.view_mut().unwrap(),
                &gr,
                m.view_mut().unwrap(),
                v.view_mut().unwrap(),
                &ops::AdamStep {
                    lr: 1e-3,
                    beta1: 0.9,
                    beta2: 0.999,
                    eps: 1e-8,
                    weight_decay: 0.0,
                    decoupled: false,
                    step: 3,
                    grad_scale: 1.0,
                },
            )
        });
    });
}
