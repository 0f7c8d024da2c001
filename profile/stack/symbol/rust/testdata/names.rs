// The program that most names in names.tsv are of: rustc +nightly --edition 2021 -C symbol-mangling-version=v0 (or legacy). The others are
// of rustc itself. What stands beside them was written by the crate rustc_demangle that rustc 1.95 brings along.
#![feature(adt_const_params, unsized_const_params, coroutines, coroutine_trait, stmt_expr_attributes, iter_from_coroutine)]
#![allow(incomplete_features, dead_code, non_snake_case, mixed_script_confusables, uncommon_codepoints)]
use std::marker::ConstParamTy;
use std::hint::black_box as bb;
use std::os::raw::c_int;
extern "C" { fn getppid() -> c_int; }

#[inline(never)] fn call() -> i32 { bb(unsafe { getppid() }) }

pub mod eins {
    use super::*;
    pub trait Go { fn go(&self) -> i32; fn given(&self) -> i32 { bb(call()) } }
    pub trait Turn<T, const N: usize> { type Out; fn turn(&self, t: T) -> i32; }
    pub struct S<T>(pub T);
    impl<T> S<T> { #[inline(never)] pub fn out(&self) -> i32 { call() }
        #[inline(never)] pub fn with<U, F: Fn(U) -> i32>(&self, u: U, f: F) -> i32 { bb(f(u)) } }
    impl<T> Go for S<T> { #[inline(never)] fn go(&self) -> i32 { call() } }
    impl Go for [u8; 3] { #[inline(never)] fn go(&self) -> i32 { call() } }
    impl Go for [u8] { #[inline(never)] fn go(&self) -> i32 { call() } }
    impl<T> Go for &mut Vec<T> { #[inline(never)] fn go(&self) -> i32 { call() } }
    impl Go for () { #[inline(never)] fn go(&self) -> i32 { call() } }
    impl Go for (i32,) { #[inline(never)] fn go(&self) -> i32 { call() } }
    impl Go for (i8, u16, char, bool, f32, f64, i128, usize, isize, u128, i64, u64) { #[inline(never)] fn go(&self) -> i32 { call() } }
    impl Go for *const i32 { #[inline(never)] fn go(&self) -> i32 { call() } }
    impl Go for *mut str { #[inline(never)] fn go(&self) -> i32 { call() } }
    impl Go for fn(i32, &str) -> u8 { #[inline(never)] fn go(&self) -> i32 { call() } }
    impl Go for unsafe extern "C" fn(*const u8, ...) { #[inline(never)] fn go(&self) -> i32 { call() } }
    impl Go for extern "system" fn() -> ! { #[inline(never)] fn go(&self) -> i32 { call() } }
    impl Go for for<'a, 'b> fn(&'a u8, &'b mut u8) -> &'a u8 { #[inline(never)] fn go(&self) -> i32 { call() } }
    impl Go for dyn Fn(i32) -> i32 { #[inline(never)] fn go(&self) -> i32 { call() } }
    impl Go for dyn Iterator<Item = u8> + Send { #[inline(never)] fn go(&self) -> i32 { call() } }
    impl Go for dyn for<'a> Fn(&'a u8) -> &'a u8 + Sync + 'static { #[inline(never)] fn go(&self) -> i32 { call() } }
    impl Go for dyn Turn<u8, 3, Out = Vec<i32>> { #[inline(never)] fn go(&self) -> i32 { call() } }
    impl Go for Box<dyn Send> { #[inline(never)] fn go(&self) -> i32 { call() } }
    impl<T, const N: usize> Turn<T, N> for S<[T; N]> { type Out = T; #[inline(never)] fn turn(&self, _: T) -> i32 { bb(call()) + N as i32 } }
    impl dyn Go { #[inline(never)] pub fn of_dyn(&self) -> i32 { self.go() } }
    impl dyn Go + Send { #[inline(never)] pub fn of_dyn_send(&self) -> i32 { self.go() } }
}
use eins::*;
pub struct Buf<const N: usize, const B: bool, const C: char, const I: i8>;
impl<const N: usize, const B: bool, const C: char, const I: i8> Buf<N, B, C, I> { #[inline(never)] fn fill(&self) -> i32 { call() } }
impl Go for Buf<3, true, 'x', -5> { #[inline(never)] fn go(&self) -> i32 { call() } }
impl Go for Buf<4, false, '\'', 5> { #[inline(never)] fn go(&self) -> i32 { call() } }
impl Go for Buf<5, false, 'ö', 5> { #[inline(never)] fn go(&self) -> i32 { call() } }
#[derive(PartialEq, Eq, ConstParamTy)] pub enum Kind { A, B(u8, i16), C { x: bool, y: char } }
#[derive(PartialEq, Eq, ConstParamTy)] pub struct Conf { deep: (u8, [u8; 2]), name: &'static str }
#[inline(never)] fn kind<const K: Kind>() -> i32 { call() }
#[inline(never)] fn named<const S: &'static str>() -> i32 { call() }
#[inline(never)] fn conf<const C: Conf>() -> i32 { call() }
#[inline(never)] fn array<const A: [u16; 2]>() -> i32 { call() }
pub struct Of<const K: Kind>; impl<const K: Kind> Of<K> { #[inline(never)] fn m(&self) -> i32 { call() } }
impl Go for Of<{ Kind::A }> { #[inline(never)] fn go(&self) -> i32 { call() } }
impl Go for [Of<{ Kind::B(1, -2) }>; 2] { #[inline(never)] fn go(&self) -> i32 { call() } }
impl Go for Of<{ Kind::C { x: true, y: 'q' } }> { #[inline(never)] fn go(&self) -> i32 { call() } }
pub struct Str<const S: &'static str>; impl Go for Str<"hä\n\"x"> { #[inline(never)] fn go(&self) -> i32 { call() } }

mod größe { use super::*; #[inline(never)] pub fn länge<T>(_: T) -> i32 { call() } pub struct Ärger; impl Ärger { #[inline(never)] pub fn 数える(&self) -> i32 { let f = || bb(call()); bb(f()) } } 
  #[inline(never)] pub fn мир() -> i32 { call() } }
#[inline(never)] fn r#match() -> i32 { call() }
#[inline(never)] fn _unter__strich() -> i32 { call() }
#[inline(never)] fn __() -> i32 { call() }
#[inline(never)] fn generic<T: Go + ?Sized>(t: &T) -> i32 { bb(t.go()) }
#[inline(never)] fn twice<F: FnMut() -> i32>(mut f: F) -> i32 { bb(f()) + bb(f()) }
#[inline(never)] fn once(f: Box<dyn FnOnce() -> i32>) -> i32 { f() }
#[inline(never)] fn nested() -> i32 { fn inner() -> i32 { fn inner() -> i32 { bb(call()) } bb(inner()) } { fn inner() -> i32 { bb(call()) } bb(inner()); } inner() }
struct D; impl Drop for D { #[inline(never)] fn drop(&mut self) { call(); } }
#[inline] fn inl1<T: Go>(t: &T) -> i32 { inl2(t) + 1 }
#[inline] fn inl2<T: Go>(t: &T) -> i32 { t.go() + { let f = |x: i32| x + call(); f(2) } }
macro_rules! m { ($n:ident) => { #[inline(never)] fn $n() -> i32 { (|| { bb(call()) })() } } }
m!(of_macro);
async fn soon(x: i32) -> i32 { call() + x }
async fn later() -> i32 { soon(1).await + soon(2).await }
impl std::fmt::Display for S<u8> { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { call(); f.write_str("x") } }
static STAT: std::sync::LazyLock<i32> = std::sync::LazyLock::new(|| call());
thread_local! { static TL: i32 = call(); }
const fn k() -> usize { 7 }
struct Lt<'a>(&'a u8); impl<'a> Lt<'a> { #[inline(never)] fn m<'b>(&self, _: &'b u8) -> i32 { call() } }
impl<'a, T> Go for &'a [Option<T>] { #[inline(never)] fn go(&self) -> i32 { call() } }
impl Go for Vec<(u8, S<[u8; k()]>)> { #[inline(never)] fn go(&self) -> i32 { call() } }
fn main() {
    let s = S(1u8);
    bb(s.out()); bb(s.with(3u16, |x| x as i32 + call())); bb(S(vec![1]).out()); 
    bb(generic(&[1u8,2,3])); bb(generic(&[1u8,2][..])); bb(generic(&&mut vec![1i32])); bb(generic(&())); bb(generic(&(1i32,))); bb(generic(&(1i8,1u16,'c',true,1f32,1f64,1i128,1usize,1isize,1u128,1i64,1u64)));
    bb(generic(&(&1i32 as *const i32)));
    let mut st = String::from("x"); bb(generic(&(&mut *st as *mut str)));
    fn a(_: i32, _: &str) -> u8 { 1 } bb((a as fn(i32,&str)->u8).go());
    extern "system" fn b() -> ! { loop {} } bb((b as extern "system" fn() -> !).go());
    extern "C" { fn printf(x: *const u8, ...); } bb((printf as unsafe extern "C" fn(*const u8, ...)).go());
    fn c<'a, 'b>(x: &'a u8, _: &'b mut u8) -> &'a u8 { x } bb((c as for<'a,'b> fn(&'a u8,&'b mut u8)->&'a u8).go());
    let d: Box<dyn Fn(i32) -> i32> = Box::new(|x| x + call()); bb(d.go()); bb(d(3)); bb(generic::<dyn Fn(i32) -> i32>(&*d));
    let i: Box<dyn Iterator<Item = u8> + Send> = Box::new([1u8].into_iter()); bb(generic(&*i));
    let i: Box<dyn for<'a> Fn(&'a u8) -> &'a u8 + Sync> = Box::new(|x| x); bb(generic(&*i));
    let t: Box<dyn Turn<u8, 3, Out = Vec<i32>>> = { struct Z; impl Turn<u8,3> for Z { type Out = Vec<i32>; fn turn(&self, _: u8) -> i32 { call() } } Box::new(Z) }; bb(t.go()); bb(t.turn(1));
    let bs: Box<dyn Send> = Box::new(1); bb(bs.go()); 
    bb(S([1u8;4]).turn(1)); bb(S([1u8;20]).turn(1)); bb(S([S(1)]).turn(S(1)));
    let g: Box<dyn Go> = Box::new(S(1u64)); bb(g.of_dyn()); bb(g.given()); let g: Box<dyn Go + Send> = Box::new(S(1u64)); bb(g.of_dyn_send());
    bb(Buf::<3,true,'x',-5>.fill()); bb(Buf::<3,true,'x',-5>.go()); bb(Buf::<4,false,'\'',5>.go()); bb(Buf::<5,false,'ö',5>.go());
    bb(kind::<{Kind::A}>()); bb(kind::<{Kind::B(7,-1)}>()); bb(kind::<{Kind::C{x:false,y:'\n'}}>()); bb(named::<"abc">()); bb(named::<"ü\t">()); bb(conf::<{Conf{deep:(1,[2,3]),name:"n"}}>()); bb(array::<{[1,2]}>());
    bb(Of::<{Kind::A}>.m()); bb(Of::<{Kind::A}>.go()); bb([Of::<{Kind::B(1,-2)}>,Of::<{Kind::B(1,-2)}>].go()); bb(Of::<{Kind::C{x:true,y:'q'}}>.go()); bb(Str::<"hä\n\"x">.go());
    bb(größe::länge(1)); bb(größe::länge(größe::Ärger)); bb(größe::Ärger.数える()); bb(größe::мир()); bb(r#match()); bb(_unter__strich()); bb(__());
    bb(twice(|| call())); bb(twice(|| twice(|| bb(call())))); bb(once(Box::new(|| call()))); bb(nested()); drop(bb(D)); drop(bb(vec![D])); drop(bb(Box::new(D) as Box<dyn std::any::Any>));
    bb(inl1(&S(1u32))); bb(inl1(&[1u8,2,3])); bb(of_macro());
    let mut co = #[coroutine] || { yield call(); yield 1; }; use std::ops::Coroutine; bb(std::pin::Pin::new(&mut co).resume(()));
    let mut f = Box::pin(later()); let w = std::task::Waker::noop(); let mut cx = std::task::Context::from_waker(&w); use std::future::Future; let _ = bb(f.as_mut().poll(&mut cx));
    bb(format!("{}", s)); bb(*STAT); TL.with(|x| bb(*x)); bb(Lt(&1).m(&2)); bb((&[Some(1u8)][..]).go()); bb(vec![(1u8, S([0u8;7]))].go());
    let h = std::thread::spawn(|| { bb(call()) }); h.join().unwrap();
    let mut v = vec![3, 1, 2]; v.sort_by_key(|x| { call(); *x }); bb(v.iter().map(|x| { call() + x }).filter(|x| *x > 0).collect::<Vec<_>>()); let mut m = std::collections::HashMap::new(); m.entry("x").or_insert_with(|| call()); let mut bm = std::collections::BTreeMap::new(); bm.insert(1, 2);
    let fp: &dyn Fn() -> i32 = &call; bb(fp()); let p: Result<i32, _> = std::panic::catch_unwind(|| bb(call())); bb(p.is_ok());
    println!("{}", std::env::args().count());
}
