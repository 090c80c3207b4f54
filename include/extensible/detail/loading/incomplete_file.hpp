#pragma once

// Does a file end before the shared library that it contains? A copy that is not finished does. The
// system opens it nevertheless, and the program ends with SIGBUS when it uses a missing part.
//
// What must stay true (tests/library/library.cpp):
// 1. The file may contain anything. Each read is within the file, and the number of reads is limited.
// 2. Only ELF files of this byte order are judged. The system judges all others when it opens them.
//
// Not here: which files are opened at all: shared_library.hpp.

#include <extensible/detail/platform/compiler.hpp>

#include <bit>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <ios>
#include <string_view>

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

// The layouts are those of <elf.h>, which defines macros for names that other code uses.

/// The beginning of every ELF file.
struct elf_identity {
    char magic[4];
    unsigned char address_size;  // 1: 32 bits, 2: 64 bits
    unsigned char byte_order;    // 1: little endian, 2: big endian
};

/// The header of an ELF file. It says where the tables of segments and of sections are.
template <class Address>
struct elf_header {
    unsigned char identity[16];
    std::uint16_t type, machine;
    std::uint32_t version;
    Address entry, segments, sections;
    std::uint32_t flags;
    std::uint16_t header_size, segment_entry_size, segment_count, section_entry_size, section_count, names;
};
static_assert(sizeof(elf_header<std::uint32_t>) == 52 && sizeof(elf_header<std::uint64_t>) == 64);

/// The beginning of an entry in the table of segments. Between `type` and `offset`, a file with
/// addresses of 64 bits has flags.
template <class Address>
struct elf_segment {
    std::uint32_t type;  // 1: the system maps this part of the file
    alignas(sizeof(Address)) Address offset;
    Address address, physical_address, size;
};
static_assert(sizeof(elf_segment<std::uint32_t>) == 20 && sizeof(elf_segment<std::uint64_t>) == 40);

/// Reads from a file at any offset.
class EXTENSIBLE_HIDDEN file_reader {
public:
    explicit file_reader(const std::filesystem::path& path)
        : stream_(path, std::ios::binary | std::ios::ate), size_(static_cast<std::uint64_t>(stream_.tellg())) {}

    bool has(std::uint64_t offset, std::uint64_t length) const { return offset <= size_ && length <= size_ - offset; }

    /// Returns false if the file ends before the object, or cannot be read.
    template <class T>
    bool read(std::uint64_t offset, T& object) {
        return has(offset, sizeof(T)) && stream_.seekg(static_cast<std::streamoff>(offset)) &&
               stream_.read(reinterpret_cast<char*>(&object), sizeof(T));
    }

private:
    std::ifstream stream_;
    std::uint64_t size_;  // if the file cannot be opened, this is too large, and each read fails
};

template <class Address>
EXTENSIBLE_HIDDEN bool ends_before_its_parts(file_reader& file) {
    elf_header<Address> header;
    if (!file.read(0, header)) return true;
    if (!file.has(header.sections, std::uint64_t{header.section_entry_size} * header.section_count)) return true;
    for (std::uint64_t number = 0; number < header.segment_count; ++number) {
        elf_segment<Address> segment;
        if (!file.read(header.segments + number * header.segment_entry_size, segment)) return true;
        if (segment.type == 1 && !file.has(segment.offset, segment.size)) return true;
    }
    return false;
}

/// Returns true if the file ends within a segment that the system maps, or within a table or the header.
EXTENSIBLE_HIDDEN inline bool is_incomplete(const std::filesystem::path& path) {
    file_reader file(path);
    elf_identity identity;
    if (!file.read(0, identity) || std::string_view(identity.magic, 4) != "\177ELF") return false;
    if (identity.byte_order != (std::endian::native == std::endian::little ? 1 : 2)) return false;
    if (identity.address_size == 1) return ends_before_its_parts<std::uint32_t>(file);
    return identity.address_size == 2 && ends_before_its_parts<std::uint64_t>(file);
}

}}}  // namespace ext::detail
