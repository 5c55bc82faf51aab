//! What a device's memory allows, to hold kernels against: passes that move words and compute nothing.
//!
//! A kernel that reads each logit once and writes each result once can at best be as fast as a copy of the same
//! bytes. These are the copy, the fill and the read of this crate's own, in WGSL and in the same run, and not the
//! copies of a driver, which take other ways.

use std::num::NonZeroU64;
use std::ops::Range;

use crate::kernels::{Entry, Geometry, Meeting, copy, fill, load, workgroup_up_to};
use crate::pipelines::binding;
use crate::plan::{Job, Stage};
use crate::{Capabilities, Dtype, Error, Gpu, Op, Options, Result, Rows};

/// Bytes of the vectors that are moved.
const VECTOR: u64 = 16;

/// A pass over memory that is ready to be recorded, any number of times: see [`Gpu::prepare_copy`],
/// [`Gpu::prepare_fill`] and [`Gpu::prepare_read`].
#[derive(Debug)]
pub struct MemoryPass {
    name: &'static str,
    pipeline: wgpu::ComputePipeline,
    steps: Vec<(wgpu::BindGroup, [u32; 2])>,
    bytes: u64,
}

impl MemoryPass {
    /// Bytes that it reads and writes, together.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Records it as one compute pass.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        let descriptor = wgpu::ComputePassDescriptor { label: Some(self.name), timestamp_writes: None };
        self.record_in_pass(&mut encoder.begin_compute_pass(&descriptor));
    }

    /// Records it into a pass of the caller's. The pass's pipeline and its bind group 0 are other ones
    /// afterwards.
    pub fn record_in_pass(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        for (bindings, grid) in &self.steps {
            pass.set_bind_group(0, bindings, &[]);
            pass.dispatch_workgroups(grid[0], grid[1], 1);
        }
    }
}

impl Gpu {
    /// Prepares a copy of as many whole vectors of 16 bytes as both ranges hold, from the start of one to the
    /// start of the other: every byte read once and written once.
    ///
    /// ```no_run
    /// # let gpu = wgpu_softmax::Gpu::new_blocking()?;
    /// let (from, to) = (gpu.upload(&[1.0; 1024], &[1024])?, gpu.empty(&[1024])?);
    /// let copy = gpu.prepare_copy(from.buffer().slice(..), to.buffer().slice(..))?;
    /// assert_eq!(copy.bytes(), 2 * 4096);
    /// # Ok::<(), wgpu_softmax::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::BufferUsage`] without `STORAGE`, [`Error::SameBuffer`], [`Error::BufferTooSmall`] for fewer than
    /// 16 bytes, [`Error::BufferMisaligned`] where a range does not start at what the device binds at,
    /// [`Error::LimitExceeded`] beyond the device's grid.
    pub fn prepare_copy(&self, from: wgpu::BufferSlice<'_>, to: wgpu::BufferSlice<'_>) -> Result<MemoryPass> {
        if from.buffer() == to.buffer() {
            return Err(Error::SameBuffer);
        }
        let bytes = whole_vectors(from.size().min(to.size()));
        let lane_bytes = copy::VECTORS * VECTOR;
        let moved = Moved { read: Some((from, bytes, lane_bytes)), written: (to, bytes, lane_bytes) };
        self.prepare_memory_pass(&copy::ENTRY, &moved)
    }

    /// Prepares writing every whole vector of 16 bytes of a range once.
    ///
    /// # Errors
    /// As [`Gpu::prepare_copy`].
    pub fn prepare_fill(&self, to: wgpu::BufferSlice<'_>) -> Result<MemoryPass> {
        let moved = Moved { read: None, written: (to, whole_vectors(to.size()), fill::VECTORS * VECTOR) };
        self.prepare_memory_pass(&fill::ENTRY, &moved)
    }

    /// Prepares reading every whole vector of 16 bytes of a range once. So that no compiler leaves the reading out,
    /// a word for every 128 bytes goes to `marks`, in a buffer of its own: whole KiB of them.
    ///
    /// # Errors
    /// As [`Gpu::prepare_copy`], also where `marks` is too small.
    pub fn prepare_read(
        &self,
        from: wgpu::BufferSlice<'_>,
        marks: wgpu::BufferSlice<'_>,
    ) -> Result<MemoryPass> {
        if from.buffer() == marks.buffer() {
            return Err(Error::SameBuffer);
        }
        let bytes = whole_vectors(from.size());
        let lane_bytes = load::VECTORS * VECTOR;
        let lanes =
            bytes.div_ceil(lane_bytes).next_multiple_of(u64::from(self.memory_pass_geometry().workgroup));
        let (mark, needed) = (Dtype::F32.bytes(), lanes * Dtype::F32.bytes());
        if marks.size() < needed {
            return Err(Error::BufferTooSmall { what: "marks'", needed, actual: marks.size() });
        }
        let moved = Moved { read: Some((from, bytes, lane_bytes)), written: (marks, needed, mark) };
        self.prepare_memory_pass(&load::ENTRY, &moved)
    }

    fn memory_pass_geometry(&self) -> Geometry {
        let workgroup = workgroup_up_to(256, self.capabilities());
        Geometry { workgroup, lanes: 1, held: None, meeting: Meeting::Alone }
    }

    fn prepare_memory_pass(&self, entry: &'static Entry, moved: &Moved<'_>) -> Result<MemoryPass> {
        let alignment = self.capabilities().binding_alignment;
        let (written, written_bytes, _) = moved.written;
        let read = moved.read.map(|(slice, bytes, _)| ("copied", slice, bytes));
        for (what, slice, bytes) in [read, Some(("filled", written, written_bytes))].into_iter().flatten() {
            if !slice.buffer().usage().contains(wgpu::BufferUsages::STORAGE) {
                return Err(Error::BufferUsage { what, usage: "STORAGE" });
            }
            if slice.offset() % alignment != 0 {
                return Err(Error::BufferMisaligned { what, offset: slice.offset(), alignment });
            }
            if bytes < VECTOR {
                return Err(Error::BufferTooSmall { what, needed: VECTOR, actual: slice.size() });
            }
        }
        let geometry = self.memory_pass_geometry();
        let windows = moved.windows(u64::from(geometry.workgroup), self.capabilities())?;
        let stage = Stage { entry, geometry };
        let nothing = Rows::batch(0, 0)?;
        let job = Job::plain(Op::Softmax, Dtype::F32, &nothing, &nothing, &Options::default());
        let shader = self.shader(&job, &stage, false);
        self.guarded(|| {
            let device = self.device();
            let pipeline = self.pipeline_of(&shader)?;
            let steps = (windows.iter())
                .map(|window| {
                    let read = moved.read.map(|(slice, ..)| bound(binding::LOGITS, slice, &window.read));
                    let written = bound(binding::RESULT, written, &window.written);
                    let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
                        label: Some(entry.name),
                        layout: &pipeline.bindings,
                        entries: &read.into_iter().chain([written]).collect::<Vec<_>>(),
                    });
                    (bindings, window.grid)
                })
                .collect();
            let pipeline = pipeline.pipeline.clone();
            let bytes = written_bytes + moved.read.map_or(0, |(_, bytes, _)| bytes);
            Ok(MemoryPass { name: entry.name, pipeline, steps, bytes })
        })
    }
}

/// What a pass reads and writes: a range, how many bytes of it, and how many of them each lane takes.
struct Moved<'a> {
    read: Option<(wgpu::BufferSlice<'a>, u64, u64)>,
    written: (wgpu::BufferSlice<'a>, u64, u64),
}

/// One dispatch: as many whole workgroups as its bindings hold.
#[derive(Debug, PartialEq)]
struct Window {
    read: Range<u64>,
    written: Range<u64>,
    grid: [u32; 2],
}

impl Moved<'_> {
    fn windows(&self, workgroup: u64, capabilities: &Capabilities) -> Result<Vec<Window>> {
        let (_, written, written_a_lane) = self.written;
        let (read, read_a_lane) = self.read.map_or((0, 0), |(_, bytes, a_lane)| (bytes, a_lane));
        windows(workgroup, [read, read_a_lane], [written, written_a_lane], capabilities)
    }
}

/// Divides so many bytes, of which a lane takes so many, among dispatches.
fn windows(
    workgroup: u64,
    [read, read_a_lane]: [u64; 2],
    [written, written_a_lane]: [u64; 2],
    capabilities: &Capabilities,
) -> Result<Vec<Window>> {
    let most = u64::from(capabilities.max_workgroups);
    let groups = written.div_ceil(workgroup * written_a_lane);
    let at_once = capabilities.binding_bytes / (workgroup * read_a_lane.max(written_a_lane));
    let at_once = at_once.min(most * most);
    if at_once == 0 {
        return Err(Error::LimitExceeded {
            what: "one workgroup of a pass over memory",
            needed: workgroup * read_a_lane.max(written_a_lane),
            limit: capabilities.binding_bytes,
            remedy: "no device that computes has so small bindings",
        });
    }
    let of_groups = |range: &Range<u64>, a_lane: u64, bytes: u64| {
        let start = range.start * workgroup * a_lane;
        start..(range.end * workgroup * a_lane).min(bytes)
    };
    Ok((0..groups.div_ceil(at_once))
        .map(|window| {
            let range = window * at_once..((window + 1) * at_once).min(groups);
            let count = range.end - range.start;
            let width = count.min(most);
            Window {
                read: of_groups(&range, read_a_lane, read),
                written: of_groups(&range, written_a_lane, written),
                grid: [width as u32, count.div_ceil(width) as u32],
            }
        })
        .collect())
}

/// A part of a range at a place of the bindings.
fn bound<'a>(place: u32, slice: wgpu::BufferSlice<'a>, bytes: &Range<u64>) -> wgpu::BindGroupEntry<'a> {
    wgpu::BindGroupEntry {
        binding: place,
        resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: slice.buffer(),
            offset: slice.offset() + bytes.start,
            size: NonZeroU64::new(bytes.end - bytes.start),
        }),
    }
}

/// Bytes of the whole vectors among so many bytes.
fn whole_vectors(bytes: u64) -> u64 {
    bytes - bytes % VECTOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_every_byte_once() {
        let mut capabilities = Capabilities::webgpu_defaults();
        capabilities.binding_bytes = 1 << 16;
        capabilities.max_workgroups = 3;
        for bytes in [16, 4096, 65_536, 65_552, 1 << 20, (1 << 20) + 48] {
            let [mut read_to, mut written_to] = [0; 2];
            for window in windows(256, [bytes, 64], [bytes, 64], &capabilities).unwrap() {
                assert_eq!((window.read.start, window.written.start), (read_to, written_to));
                assert!(window.read.end - window.read.start <= capabilities.binding_bytes);
                let groups = (window.read.end - window.read.start).div_ceil(256 * 64);
                let grid = window.grid.map(u64::from);
                assert!(grid[0] * grid[1] >= groups && grid.iter().all(|&length| length <= 3));
                (read_to, written_to) = (window.read.end, window.written.end);
            }
            assert_eq!((read_to, written_to), (bytes, bytes));
        }
    }

    #[test]
    fn marks_go_with_what_was_read() {
        let all = windows(256, [1 << 20, 128], [32 << 10, 4], &Capabilities::webgpu_defaults()).unwrap();
        assert_eq!(all, [Window { read: 0..1 << 20, written: 0..32 << 10, grid: [32, 1] }]);
    }
}
