#include "textflag.h"

// A vector of 32 bytes is four numbers of 64 bits. Y0 and Y1 add them whole, and lose
// what goes beyond 64 bits; Y2 and Y3 add their upper halves, and lose nothing. The
// latter, shifted up and taken from the former, leave the sum of the lower halves, which
// fits in 64 bits and so is exact as well: no carry has to be looked for.

// func sumAVX2(p *byte, n int) uint64
TEXT ·sumAVX2(SB), NOSPLIT, $0-24
	MOVQ  p+0(FP), SI
	MOVQ  n+8(FP), CX
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	SUBQ  $128, CX
	JB    short

four:
	VMOVDQU (SI), Y4
	VMOVDQU 32(SI), Y5
	VMOVDQU 64(SI), Y6
	VMOVDQU 96(SI), Y7
	VPADDQ  Y4, Y0, Y0
	VPADDQ  Y5, Y1, Y1
	VPADDQ  Y6, Y0, Y0
	VPADDQ  Y7, Y1, Y1
	VPSRLQ  $32, Y4, Y4
	VPSRLQ  $32, Y5, Y5
	VPSRLQ  $32, Y6, Y6
	VPSRLQ  $32, Y7, Y7
	VPADDQ  Y4, Y2, Y2
	VPADDQ  Y5, Y3, Y3
	VPADDQ  Y6, Y2, Y2
	VPADDQ  Y7, Y3, Y3
	ADDQ    $128, SI
	SUBQ    $128, CX
	JAE     four

short:
	ADDQ $(128-32), CX // what is left, less a vector
	JLE  rest

one:
	VMOVDQU (SI), Y4
	VPADDQ  Y4, Y0, Y0
	VPSRLQ  $32, Y4, Y4
	VPADDQ  Y4, Y2, Y2
	ADDQ    $32, SI
	SUBQ    $32, CX
	JA      one

rest:
	// The last 0 to 32 bytes: the vector that ends where they do, without what has been
	// added before. CX is how many they are, less a vector.
	LEAQ    mask<>+32(SB), DX
	VMOVDQU (SI)(CX*1), Y4
	VPAND   (DX)(CX*1), Y4, Y4
	VPADDQ  Y4, Y1, Y1
	VPSRLQ  $32, Y4, Y4
	VPADDQ  Y4, Y3, Y3

	VPADDQ       Y1, Y0, Y0
	VPADDQ       Y3, Y2, Y2
	VPSLLQ       $32, Y2, Y1
	VPSUBQ       Y1, Y0, Y0  // the lower halves
	VPADDQ       Y2, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPADDQ       X1, X0, X0
	VPSRLDQ      $8, X0, X1
	VPADDQ       X1, X0, X0
	VMOVQ        X0, AX
	VZEROUPPER
	MOVQ         AX, ret+16(FP)
	RET

// From byte n on: what keeps the last n bytes of a vector.
DATA mask<>+0(SB)/8, $0
DATA mask<>+8(SB)/8, $0
DATA mask<>+16(SB)/8, $0
DATA mask<>+24(SB)/8, $0
DATA mask<>+32(SB)/8, $-1
DATA mask<>+40(SB)/8, $-1
DATA mask<>+48(SB)/8, $-1
DATA mask<>+56(SB)/8, $-1
GLOBL mask<>(SB), RODATA|NOPTR, $64
