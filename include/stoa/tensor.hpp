/* SPDX-License-Identifier: Apache-2.0 */
/* The C++17 form of STOA_COLUMNS; included by stoa/tensor.h. C has compound literals and _Generic, C++ has neither:
 * here an array object of the full expression holds the columns. */
#ifndef STOA_TENSOR_HPP
#define STOA_TENSOR_HPP

#include <cstddef>
#include <type_traits>

namespace stoa
{

/** The columns of a tensor, by value; converts to stoa_tensor for the length of the full expression it stands in. */
template <std::size_t Count> struct columns {
    stoa_column column[Count];
    operator stoa_tensor() const { return stoa_tensor_of(column, static_cast<uint32_t>(Count)); }
};
/** What STOA_COLUMNS makes: the columns given, as one tensor.   owns borrows what they point to   threads any   errors none   since 0.1 */
template <class... Column> columns<sizeof...(Column)> make_columns(Column... column) { return {{column...}}; }

template <class Type, class Member> constexpr bool is_column_of = std::is_same_v<std::remove_const_t<std::remove_pointer_t<Member>>, Type>;
/** A column whose type is checked as STOA_COLUMNS_OF is compiled.   owns borrows the view's memory   threads any   errors none   since 0.1 */
template <class Type, class Member> stoa_column typed(const stoa_view_head *head, std::size_t offset, const Member &)
{
    static_assert(is_column_of<Type, Member>, "STOA_COLUMNS_OF: a column has another type");
    return stoa_view_column(head, offset);
}

} // namespace stoa

#define STOA_OFFSET_(view, member) \
    (static_cast<std::size_t>(reinterpret_cast<const char *>(&(view).member) - reinterpret_cast<const char *>(&(view))))
#define STOA_COLUMN_(view, member) stoa_view_column(&(view).head, STOA_OFFSET_(view, member))
#define STOA_COLUMN_OF_(type, view, member) stoa::typed<type>(&(view).head, STOA_OFFSET_(view, member), (view).member)
#define STOA_COLUMNS(view, ...) stoa::make_columns(STOA_EACH_(STOA_COLUMN_, view, __VA_ARGS__))
#define STOA_COLUMNS_OF(type, view, ...) stoa::make_columns(STOA_EACH_TYPED_(type, view, __VA_ARGS__))
#define STOA_COLUMN(view, member) STOA_COLUMN_(view, member)
#define STOA_COLUMNS_JOIN(...) stoa::make_columns(__VA_ARGS__)

#endif
