// As host_defines.h: missing from pip's packages, and of no use to a C++ compiler.
