// A product in low precision by all threads of a team: each converts some rows of activations, then takes panels of
// weights, or where there are few, some of the rows of a panel.
// Included by isa_*.cc after team_kernel.h.
namespace mamba_prune {
namespace MP_ISA {

// `memory` has room for LowScratch.
inline void low_stage(const Team& team, const LowKernels& kernels, const LowProduct& g, float* memory) {
  const LowRows rows = LowScratch(kernels.precision, g.rows, g.weight.depth).in(memory);
  kernels.convert(g, rows, team.first(g.rows), team.last(g.rows));
  team.wait();
  const int64_t panels = (g.weight.columns + kLowPanel - 1) / kLowPanel;
  const int64_t tiles = (g.rows + kernels.tile - 1) / kernels.tile, slices = team.slices(panels, tiles);
  for (int64_t task = team.first(panels * slices); task < team.last(panels * slices); task++) {
    const int64_t slice = task % slices, past = tiles * (slice + 1) / slices * kernels.tile;
    kernels.multiply(g, rows, task / slices, tiles * slice / slices * kernels.tile, past < g.rows ? past : g.rows);
  }
}

}  // namespace MP_ISA
}  // namespace mamba_prune
