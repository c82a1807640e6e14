// What the files that launch the kernels of the scan share.
#pragma once
#include "kernel.h"
#include "kernels/scan_interface.h"
#include "launch.h"

namespace mamba_prune::cuda {

/** The inputs of a scan, without what only one pass has. On the host the type of the elements is not known. */
scan_kernel::ScanArgs<void> scan_args_of(const Scan& s);
/** What all passes are told, then what one of them is. */
Defines scan_defines_of(const Scan& s, const Defines& own);

}  // namespace mamba_prune::cuda
