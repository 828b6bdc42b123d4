//! Products of training by cuBLASLt: the machine's own, or a stand-in for it whose sums are chains over k, like ours.

use super::models::{Run, pairs, shapes};
use super::{alone, bf16, device, on_stand_in, worst};
use crate::table::tensor;
use seqweave_autograd::Result;
use seqweave_seq2seq::Batch;
use seqweave_seq2seq::search::{SearchOptions, translate_batch};
use seqweave_tensor::ops::{self, Weight};
use seqweave_tensor::{Acc, Device, Error, Float, Precision, Tensor, Trans};

const SWITCH: &str = "SEQWEAVE_GEMM";
const PATH: &str = "LD_LIBRARY_PATH";
const EXPECTED: &str = "SEQWEAVE_TEST_EXPECTED";

/// Where the loader finds the stand-in for the library, if there is one.
fn path() -> Option<String> {
    let folder = std::env::var("SEQWEAVE_STANDIN_CUBLASLT").ok()?;
    Some(format!("{}:{folder}", std::env::var(PATH).unwrap_or_default()))
}

/// Whether this is the process of the test `name` in which the library is found; says so where there is none.
fn with_library(name: &str, cuda: &Device, environment: &[(&str, &str)]) -> bool {
    let (path, mut environment) = (path(), environment.to_vec());
    environment.extend(path.as_deref().map(|path| (PATH, path)));
    if !alone(name, &environment) {
        return false;
    }
    let who = who(cuda).unwrap();
    let found = who.starts_with("cuBLASLt ");
    assert!(found || path.is_none(), "{who}");
    if !found {
        println!("skipped: {who}");
    }
    found
}

fn who(device: &Device) -> seqweave_tensor::Result<String> {
    let Device::Cuda(cuda) = device else { panic!("a device of CUDA") };
    cuda.training_products()
}

fn made(device: &Device) -> u64 {
    let Device::Cuda(cuda) = device else { panic!("a device of CUDA") };
    cuda.products_by_library()
}

/// Every product the way training asks for it, over all transpositions, set and added, whole and from the middle of a larger
/// tensor, with a bias and without.
fn products(device: &Device, training: bool, [m, n, k]: [usize; 3]) -> Result<Vec<Vec<Float>>> {
    let on = |shape: [usize; 2], phase: f64| -> Result<Tensor> {
        let x = tensor(shape, phase).to(device)?;
        Ok(if training { x.in_training() } else { x })
    };
    let mut results = Vec::new();
    for (ta, tb) in [(Trans::N, Trans::N), (Trans::N, Trans::T), (Trans::T, Trans::N), (Trans::T, Trans::T)] {
        let a = on(if ta == Trans::N { [m, k] } else { [k, m] }, 0.1)?;
        let b = on(if tb == Trans::N { [k, n] } else { [n, k] }, 0.7)?;
        for acc in [Acc::Set, Acc::Add] {
            let mut c = tensor([m, n], 1.3).to(device)?.deep_clone();
            ops::gemm(&a, ta, &b, tb, acc, c.view_mut()?)?;
            results.push(c.to_vec());
        }
    }
    let (x, dy, w) = (on([m + 1, k], 0.1)?, on([m + 1, n], 0.4)?, tensor([n, k], 0.7).to(device)?);
    let weight = Weight::new(&w)?;
    let bias = tensor([n + 1], 1.9).to(device)?.rows(1, n + 1)?;
    for x in [x.rows(0, m)?, x.rows(1, m + 1)?] {
        results.push(ops::linear_packed(&x, weight.transposed(), Some(&bias))?.to_vec());
        results.push(ops::linear_packed(&x, weight.transposed(), None)?.to_vec());
    }
    let mut dx = tensor([m, k], 2.3).to(device)?.deep_clone();
    ops::gemm_packed(&dy.rows(1, m + 1)?, weight.plain(), Acc::Add, dx.view_mut()?)?;
    results.push(dx.to_vec());
    // A gradient that begins anywhere in a flat buffer.
    let mut flat = tensor([n * k + 3, 1], 0.2).to(device)?.deep_clone();
    ops::gemm(&dy, Trans::T, &x, Trans::N, Acc::Add, flat.view_mut()?.flat_mut(1, [n, k])?)?;
    results.push(flat.to_vec());
    Ok(results)
}

#[test]
fn products_by_the_library_are_those_of_our_kernels() {
    let Some(cuda) = device() else { return };
    let name = "cuda::library::products_by_the_library_are_those_of_our_kernels";
    if !with_library(name, &cuda, &[]) {
        return;
    }
    // The library sums in another order: 300 terms of about 1 in f32, and in bfloat16 products that are exact in f32.
    for (precision, tolerance) in [(Precision::F32, 5e-5), (Precision::Bf16, 1e-4), (Precision::F32Fast, 0.0)]
    {
        let device = cuda.clone().with_precision(precision);
        for extents in [[1, 1, 1], [1, 33, 7], [13, 31, 300], [65, 130, 40], [8, 16, 24]] {
            let before = made(&cuda);
            let want = products(&device, false, extents).unwrap();
            assert_eq!(made(&cuda), before, "answers are made by our kernels");
            let got = products(&device, true, extents).unwrap();
            // Split operands, of which the library knows nothing, stay with our kernels.
            let by_library = if precision == Precision::F32Fast { 0 } else { got.len() as u64 };
            assert_eq!(made(&cuda) - before, by_library, "{precision:?} {extents:?}");
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                let error = worst(got, want);
                assert!(error <= tolerance, "{precision:?} {extents:?}, product {i}: off by {error:e}");
            }
        }
        let before = made(&cuda);
        let empty = products(&device, true, [2, 3, 0]);
        assert!(empty.is_ok_and(|all| all[0] == [0.0; 6]), "a sum of nothing");
        assert_eq!(made(&cuda), before, "empty products are not the library's");
    }
}

#[test]
fn a_training_step_is_made_by_the_library_and_answers_are_not() {
    let Some(cuda) = device() else { return };
    let name = "cuda::library::a_training_step_is_made_by_the_library_and_answers_are_not";
    if !with_library(name, &cuda, &[("SEQWEAVE_CUDA_GRAPHS", "on")]) {
        return;
    }
    let batch = Batch::from_rows(&pairs(5)).unwrap();
    for (device, tolerance) in [(cuda.clone(), 1e-5), (bf16(&cuda), 2e-2)] {
        for config in shapes() {
            let train = |together: bool| {
                let mut run = Run::new(&config, &device);
                let before = made(&cuda);
                let losses: Vec<Float> = (1..4)
                    .map(|step| {
                        let mut work = || run.step_on(&batch, step).unwrap();
                        if together { device.together(work) } else { work() }
                    })
                    .collect();
                (losses, made(&cuda) - before, run)
            };
            let (losses, products, run) = train(false);
            let again = train(true);
            assert!(
                losses == again.0 && run.save() == again.2.save(),
                "the same bits, as graphs too: {config:?}"
            );
            // Forward, backward and the weight's gradient of ten layers and more, and six gradients of recurrent weights: were
            // the mark lost anywhere on the way, there would be fewer.
            println!("{:?} {:?}: {products} products in 3 steps", config.cell, config.attention);
            assert!(products >= 3 * (3 * 10 + 6), "{products} products of {config:?}");

            let here = Device::cpu().with_precision(device.precision());
            let mut cpu = Run::new(&config, &here);
            let want: Vec<Float> = (1..4).map(|step| cpu.step_on(&batch, step).unwrap()).collect();
            let error = worst(&losses, &want);
            assert!(error <= tolerance, "{config:?}: losses off by {error:e}");

            let before = made(&cuda);
            let sources: Vec<Vec<u32>> = pairs(3).into_iter().map(|(source, _)| source).collect();
            let answers = |sources: &[Vec<u32>]| {
                let (model, params) = run.model();
                let options = SearchOptions { beam: 2, ..SearchOptions::default() };
                let found = translate_batch(model, params, sources, &options).unwrap();
                found.into_iter().map(|best| (best[0].ids.clone(), best[0].score)).collect::<Vec<_>>()
            };
            assert!(
                answers(&sources)[2..] == answers(&sources[2..]),
                "an answer in company is the one alone"
            );
            assert_eq!(made(&cuda), before, "answers are made by our kernels");
        }
    }
    let Device::Cuda(cuda) = &cuda else { panic!("a device of CUDA") };
    assert_eq!(cuda.graph_report().refused, None);
}

/// (what the switch says, whether the library is there, more of the environment, what is answered).
type Row = (&'static str, bool, (&'static str, &'static str), &'static str);

#[test]
fn who_makes_products_can_be_chosen() {
    let name = "cuda::library::who_makes_products_can_be_chosen";
    let version = "SEQWEAVE_STANDIN_LT_VERSION";
    let old = "the cuBLASLt library is of version 11.6.5, 12 or later is needed";
    let none = "no cuBLASLt library was found";
    let rows: [Row; 8] = [
        ("", true, (version, "120803"), "cuBLASLt 12.8.3"),
        ("cublaslt", true, (version, "130000"), "cuBLASLt 13.0.0"),
        ("own", true, (version, "130000"), "own kernels, as asked for"),
        ("", false, (version, ""), &format!("own kernels ({none})").leak()[..]),
        ("", true, (version, "110605"), &format!("own kernels ({old})").leak()[..]),
        (
            "cublaslt",
            false,
            (version, ""),
            &format!("SEQWEAVE_GEMM=cublaslt: {none}\nhelp: unset").leak()[..],
        ),
        ("cublaslt", true, (version, "110605"), &format!("SEQWEAVE_GEMM=cublaslt: {old}\nhelp: ").leak()[..]),
        (
            "yes",
            true,
            (version, "130000"),
            "SEQWEAVE_GEMM: expected own or cublaslt, found `yes`\nhelp: unset",
        ),
    ];
    if !on_stand_in() {
        return;
    }
    for (switch, there, more, expected) in rows {
        let path = if there { path().unwrap() } else { std::env::var(PATH).unwrap_or_default() };
        if !alone(name, &[(SWITCH, switch), (PATH, &path), more, (EXPECTED, expected)]) {
            continue;
        }
        let (cuda, expected) = (device().unwrap(), std::env::var(EXPECTED).unwrap());
        let x = tensor([3, 5], 0.1);
        let here = x.to(&cuda).unwrap();
        let plain = ops::matmul(&here, Trans::N, &here, Trans::T).unwrap().to_vec();
        let training = here.in_training();
        let product = ops::matmul(&training, Trans::N, &training, Trans::T);
        match (who(&cuda), product) {
            (Ok(who), Ok(product)) => {
                assert_eq!(who, expected);
                assert_eq!(made(&cuda), u64::from(who.starts_with("cuBLASLt")), "{who}");
                assert_eq!(product.to_vec(), plain);
            }
            (Err(who), Err(product)) => {
                assert!(matches!(who, Error::GemmSwitch { .. } | Error::NoCublasLt { .. }), "{who:?}");
                assert_eq!(who, product);
                assert!(who.to_string().starts_with(&expected), "{who}");
            }
            (who, product) => panic!("{who:?} and {:?}", product.map(|x| x.to_vec())),
        }
        return;
    }
}

#[test]
fn a_product_that_the_library_cannot_make_is_made_by_our_kernels() {
    let Some(cuda) = device() else { return };
    let name = "cuda::library::a_product_that_the_library_cannot_make_is_made_by_our_kernels";
    if !on_stand_in() || !with_library(name, &cuda, &[("SEQWEAVE_STANDIN_LT_NONE", "1")]) {
        return;
    }
    let [own, training] = [false, true].map(|training| products(&cuda, training, [13, 31, 30]).unwrap());
    assert_eq!(own, training);
    assert_eq!(made(&cuda), 0);
}
