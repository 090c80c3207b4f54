// Prints the stamp's hash of the sizes and alignments of all types that modules share.

#include <extensible/detail/stamp.hpp>

#include <cstdio>

int main() { std::printf("%uu", ext::detail::hash_layouts(ext::detail::shared_types())); }
