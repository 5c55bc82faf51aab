//! ndarray views of any layout in, arrays out.
#![cfg(feature = "ndarray")]

mod common;

use approx::assert_relative_eq;
use ndarray::{Array2, Array3, Axis, array, s};
use wgpu_softmax::{Arrays, Cpu, Error, Op, Options};

fn ramp() -> Array3<f32> {
    Array3::from_shape_fn((4, 6, 10), |(i, j, k)| ((i * 60 + j * 10 + k) * 7919 % 100) as f32 * 0.1)
}

#[test]
fn any_layout_gives_what_its_c_ordered_copy_gives() {
    let logits = ramp();
    let views = [
        logits.view(),
        logits.view().permuted_axes([2, 0, 1]),
        logits.slice(s![1.., ..;2, ..;-1]),
        logits.slice(s![.., 2..3, ..]),
    ];
    for view in views {
        for axis in [-3, -2, -1, 0, 1, 2] {
            let expected = Cpu::new().softmax_array(view.to_owned().view(), axis).unwrap();
            assert_eq!(Cpu::new().softmax_array(view, axis).unwrap(), expected);
            let sums = expected.sum_axis(Axis(axis.rem_euclid(3) as usize));
            assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-6));
            if let Some(gpu) = common::device::gpu() {
                let on_gpu = gpu.softmax_array(view, axis).unwrap();
                assert!(on_gpu.iter().zip(&expected).all(|(gpu, cpu)| (gpu - cpu).abs() < 1e-6));
            }
        }
    }
}

#[test]
fn results_have_their_shapes() {
    let logits = ramp();
    let cpu = Cpu::new();
    assert_eq!(cpu.log_sum_exp_array(logits.view(), 1).unwrap().shape(), [4, 10]);
    assert_eq!(cpu.log_sum_exp_array(logits.view(), [0, 2]).unwrap().shape(), [6]);
    assert_eq!(cpu.log_sum_exp_array(logits.view(), ..).unwrap().shape(), [0usize; 0]);
    let logs = cpu.log_softmax_array(logits.view(), [0, 2]).unwrap();
    assert_relative_eq!(logs.mapv(f32::exp).sum(), 6.0, max_relative = 1e-5);
    let wide = cpu.softmax_array(array![1.0f64, 2.0, 0.0].view(), 0).unwrap();
    assert_relative_eq!(wide[1], 0.665_240_955_774_821_9, max_relative = 1e-15);
}

#[test]
fn a_view_of_the_callers_is_written_through() {
    let logits = array![[1.0f32, 2.0, 0.0], [0.5, 1.5, 2.5]];
    let mut columns = Array2::zeros((3, 2));
    let options = Options::default();
    Cpu::new()
        .compute_array_into(Op::Softmax, logits.view(), 1, &options, columns.view_mut().reversed_axes())
        .unwrap();
    assert_relative_eq!(columns[[2, 1]], 0.66524096, max_relative = 1e-6);
    let error = Cpu::new()
        .compute_array_into(Op::Softmax, logits.view(), 1, &options, columns.view_mut())
        .unwrap_err();
    assert_eq!(error, Error::ShapeMismatch { expected: vec![2, 3], actual: vec![3, 2] });
}
