import CoordinatorServe
import Program

await CoordinatorProgram.main()
